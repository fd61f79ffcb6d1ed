// architectures: 90a
// INT4 weights in groups of 32, with or without zero points, times INT8 activations.
#include "w4a8_kernels.cuh"

W4A8_FINE(s8, g32, S8Weights, 16, 64, 4)
