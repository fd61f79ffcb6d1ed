// architectures: 90a
// w4_few.cuh for NF4 and FP4 in blocks of 64 columns, f32 absmax.
#include "w4_few.cuh"

FEW_TYPES(table_f32, 16, 1, 2, 2, true, SCALE_F32, 2, false)
FEW_TYPES(table_f32, 16, 2, 1, 2, true, SCALE_F32, 2, false)
FEW_TYPES(table_f32, 16, 3, 1, 2, true, SCALE_F32, 2, false)
FEW_TYPES(table_f32, 32, 2, 1, 2, true, SCALE_F32, 2, false)
FEW_TYPES(table_f32, 64, 2, 1, 1, true, SCALE_F32, 2, false)
FEW_TYPES(table_f32, 64, 3, 1, 1, true, SCALE_F32, 2, false)
FEW_TYPES(table_f32, 64, 4, 1, 1, true, SCALE_F32, 2, false)
FEW_SHARED_TYPES(table_f32, 64, 4, true, SCALE_F32, 2, false)
