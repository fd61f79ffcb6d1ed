// architectures: 89
// w4_mma.cuh for MXFP4 and NVFP4.
#include "w4_mma.cuh"

W4MMA_TYPES(e2m1, false, SCALE_BYTE, true)
