// architectures: 90a
// w4_few.cuh for INT4 with zero points, one scale for 128 columns or more.
#include "w4_few.cuh"

FEW_TYPES(int4_zeros, 16, 1, 2, 2, false, SCALE_16, 1, true)
FEW_TYPES(int4_zeros, 16, 2, 1, 3, false, SCALE_16, 1, true)
FEW_TYPES(int4_zeros, 32, 2, 1, 2, false, SCALE_16, 1, true)
FEW_TYPES(int4_zeros, 64, 1, 1, 3, false, SCALE_16, 1, true)
FEW_TYPES(int4_zeros, 64, 3, 1, 1, false, SCALE_16, 1, true)
FEW_TYPES(int4_zeros, 64, 4, 1, 1, false, SCALE_16, 1, true)
FEW_SHARED_TYPES(int4_zeros, 64, 4, false, SCALE_16, 1, true)
