// The general kernels once more, for ggml's blocks and for 8-bit integers: a file of their own, so that nobody who does not
// use them waits for the driver to compile them.
#include "ggml.cuh"

#include "dequantize.cu"
#include "gemv.cu"
#include "linear.cu"
