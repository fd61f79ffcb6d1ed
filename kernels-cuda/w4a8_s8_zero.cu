// architectures: 90a
// INT4 weights with zero points times INT8 activations.
#include "w4a8_kernels.cuh"

W4A8_KERNELS(s8, _zero, S8Weights, false)
