// architectures: 90a
// INT4 weights times INT8 activations.
#include "w4a8_kernels.cuh"

W4A8_KERNELS(s8, , S8Weights, true)
