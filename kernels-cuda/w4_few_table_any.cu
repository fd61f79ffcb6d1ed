// architectures: 90a
// w4_few.cuh for codebooks in blocks that are not of 64 columns (NF4, FP4), MXFP4 and NVFP4.
#include "w4_few.cuh"

FEW_TYPES(table_any, 16, 1, 2, 2, true, SCALE_TABLE, 4, false)
FEW_TYPES(table_any, 16, 2, 1, 3, true, SCALE_TABLE, 4, false)
FEW_TYPES(table_any, 32, 2, 1, 2, true, SCALE_TABLE, 4, false)
FEW_TYPES(table_any, 64, 2, 1, 1, true, SCALE_TABLE, 4, false)
FEW_TYPES(table_any, 64, 3, 1, 1, true, SCALE_TABLE, 4, false)
