// architectures: 90a
// w4_few.cuh for NF4 and FP4 in blocks that are not of 64 columns.
#include "w4_few.cuh"

FEW_TYPES(table_any, 16, 1, 2, 2, true, SCALE_BNB, 4, false)
FEW_TYPES(table_any, 16, 2, 1, 2, true, SCALE_BNB, 4, false)
FEW_TYPES(table_any, 32, 2, 1, 2, true, SCALE_BNB, 4, false)
FEW_TYPES(table_any, 64, 2, 1, 1, true, SCALE_BNB, 4, false)
FEW_TYPES(table_any, 64, 3, 1, 1, true, SCALE_BNB, 4, false)
