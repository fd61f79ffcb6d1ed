// architectures: 90a
// w4_few.cuh for INT4, symmetric, one scale for 128 columns or more in 16 bits.
#include "w4_few.cuh"

FEW_TYPES(int4, 16, 1, 2, 2, false, SCALE_16, 1, false)
FEW_TYPES(int4, 16, 2, 1, 3, false, SCALE_16, 1, false)
FEW_TYPES(int4, 32, 2, 1, 2, false, SCALE_16, 1, false)
FEW_TYPES(int4, 64, 1, 1, 3, false, SCALE_16, 1, false)
FEW_TYPES(int4, 64, 3, 1, 1, false, SCALE_16, 1, false)
FEW_TYPES(int4, 64, 4, 1, 1, false, SCALE_16, 1, false)
FEW_SHARED_TYPES(int4, 64, 4, false, SCALE_16, 1, false)
FEW_TYPES(int4, 128, 2, 1, 1, false, SCALE_16, 1, false)
