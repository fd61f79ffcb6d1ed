// architectures: 90a
// INT4 weights times E4M3 activations.
#include "w4a8_kernels.cuh"

W4A8_KERNELS(e4m3, , E4m3Weights, true)
