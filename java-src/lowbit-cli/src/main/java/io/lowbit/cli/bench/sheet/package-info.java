/**
 * A finished benchmark as plain rows, whatever measured it: CSV, the HTML page with its plots, and the comparison with an
 * earlier run.
 */
package io.lowbit.cli.bench.sheet;
