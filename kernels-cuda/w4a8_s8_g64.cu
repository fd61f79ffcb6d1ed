// architectures: 90a
// INT4 weights in groups of 64, with or without zero points, times INT8 activations.
#include "w4a8_kernels.cuh"

W4A8_FINE(s8, g64, S8Weights, 64, 64, 2)
