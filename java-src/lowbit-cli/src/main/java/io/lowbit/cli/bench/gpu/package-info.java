/**
 * The benchmark harness on a CUDA device: {@link io.lowbit.cli.bench.gpu.GpuBench} is the engine, usable without the
 * command line. Every contender (a Lowbit layer, a product of cuBLASLt) is timed in the same way on the same data.
 */
package io.lowbit.cli.bench.gpu;
