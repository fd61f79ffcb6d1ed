// architectures: 89
// w4_mma.cuh for INT4, one scale for 128 columns or more in 16 bits.
#include "w4_mma.cuh"

W4MMA_TYPES(int4, false, SCALE_16, false)
