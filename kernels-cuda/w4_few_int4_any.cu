// architectures: 90a
// w4_few.cuh for INT4 with f32 scales.
#include "w4_few.cuh"

FEW_TYPES(int4_any, 16, 1, 2, 2, false, SCALE_16_F32, 4, true)
FEW_TYPES(int4_any, 16, 2, 1, 3, false, SCALE_16_F32, 4, true)
FEW_TYPES(int4_any, 32, 2, 1, 2, false, SCALE_16_F32, 4, true)
FEW_TYPES(int4_any, 64, 1, 1, 3, false, SCALE_16_F32, 4, true)
FEW_TYPES(int4_any, 64, 3, 1, 1, false, SCALE_16_F32, 4, true)
FEW_TYPES(int4_any, 64, 4, 1, 1, false, SCALE_16_F32, 4, true)
FEW_SHARED_TYPES(int4_any, 64, 4, false, SCALE_16_F32, 4, true)
