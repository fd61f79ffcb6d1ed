// architectures: 90a
// w4_few.cuh for INT4 in groups of 32 columns with zero points.
#include "w4_few.cuh"

FEW_TYPES(int4_g32_zeros, 16, 1, 2, 2, false, SCALE_16, 4, true)
FEW_TYPES(int4_g32_zeros, 16, 2, 1, 3, false, SCALE_16, 4, true)
FEW_TYPES(int4_g32_zeros, 32, 2, 1, 2, false, SCALE_16, 4, true)
FEW_TYPES(int4_g32_zeros, 64, 1, 1, 3, false, SCALE_16, 4, true)
FEW_TYPES(int4_g32_zeros, 64, 3, 1, 1, false, SCALE_16, 4, true)
FEW_TYPES(int4_g32_zeros, 64, 4, 1, 1, false, SCALE_16, 4, true)
FEW_SHARED_TYPES(int4_g32_zeros, 64, 4, false, SCALE_16, 4, true)
