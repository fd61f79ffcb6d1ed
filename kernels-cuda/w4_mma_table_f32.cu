// architectures: 89
// w4_mma.cuh for NF4 and FP4 with f32 absmax.
#include "w4_mma.cuh"

W4MMA_TYPES(table_f32, true, SCALE_F32, true)
