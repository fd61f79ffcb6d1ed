/**
 * The benchmark harness: times backends through their public seam, checks every timed case against a reference
 * product, and measures the machine's own limits in the same run. {@link io.lowbit.cli.bench.GemmBench} is the engine,
 * usable without the command line.
 */
package io.lowbit.cli.bench;
