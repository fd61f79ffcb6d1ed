// architectures: 89
// w4_mma.cuh for NF4 and FP4, doubly quantized.
#include "w4_mma.cuh"

W4MMA_TYPES(table_nested, true, SCALE_NESTED, true)
