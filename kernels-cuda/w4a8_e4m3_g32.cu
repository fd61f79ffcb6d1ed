// architectures: 90a
// INT4 weights in groups of 32, with or without zero points, times E4M3 activations.
#include "w4a8_kernels.cuh"

W4A8_FINE(e4m3, g32, E4m3Weights, 64, 64, 4)
