// architectures: 89
// w4_mma.cuh for MXFP4 and NVFP4.
#include "w4_mma.cuh"

W4MMA_TYPES(table_byte, true, SCALE_BYTE, true)
