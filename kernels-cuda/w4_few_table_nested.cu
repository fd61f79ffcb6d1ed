// architectures: 90a
// w4_few.cuh for NF4 and FP4 in blocks of 64 columns, doubly quantized.
#include "w4_few.cuh"

FEW_TYPES(table_nested, 16, 1, 2, 2, true, SCALE_NESTED, 2, false)
FEW_TYPES(table_nested, 16, 2, 1, 2, true, SCALE_NESTED, 2, false)
FEW_TYPES(table_nested, 16, 3, 1, 2, true, SCALE_NESTED, 2, false)
FEW_TYPES(table_nested, 32, 2, 1, 2, true, SCALE_NESTED, 2, false)
FEW_TYPES(table_nested, 64, 2, 1, 1, true, SCALE_NESTED, 2, false)
FEW_TYPES(table_nested, 64, 3, 1, 1, true, SCALE_NESTED, 2, false)
FEW_TYPES(table_nested, 64, 4, 1, 1, true, SCALE_NESTED, 2, false)
FEW_SHARED_TYPES(table_nested, 64, 4, true, SCALE_NESTED, 2, false)
