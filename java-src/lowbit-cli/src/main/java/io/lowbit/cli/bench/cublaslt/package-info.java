/** NVIDIA's own matrix products, found at run time: the peers that the benchmark harness times beside Lowbit's kernels. */
package io.lowbit.cli.bench.cublaslt;
