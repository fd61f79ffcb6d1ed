// architectures: 90a
// w4_few.cuh for INT4, symmetric, in groups of 32 columns.
#include "w4_few.cuh"

FEW_TYPES(int4_g32, 16, 1, 2, 2, false, SCALE_16, 4, false)
FEW_TYPES(int4_g32, 16, 2, 1, 3, false, SCALE_16, 4, false)
FEW_TYPES(int4_g32, 32, 2, 1, 2, false, SCALE_16, 4, false)
FEW_TYPES(int4_g32, 64, 1, 1, 3, false, SCALE_16, 4, false)
FEW_TYPES(int4_g32, 64, 3, 1, 1, false, SCALE_16, 4, false)
FEW_TYPES(int4_g32, 64, 4, 1, 1, false, SCALE_16, 4, false)
FEW_SHARED_TYPES(int4_g32, 64, 4, false, SCALE_16, 4, false)
