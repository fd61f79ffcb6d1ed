// architectures: 90a
// w4_few.cuh for NVFP4.
#include "w4_few.cuh"

FEW_TYPES(nvfp4, 16, 1, 2, 2, false, SCALE_E4M3, 8, false)
FEW_TYPES(nvfp4, 16, 2, 1, 3, false, SCALE_E4M3, 8, false)
FEW_TYPES(nvfp4, 32, 2, 1, 2, false, SCALE_E4M3, 8, false)
FEW_TYPES(nvfp4, 64, 1, 1, 3, false, SCALE_E4M3, 8, false)
FEW_TYPES(nvfp4, 64, 3, 1, 1, false, SCALE_E4M3, 8, false)
FEW_TYPES(nvfp4, 64, 4, 1, 1, false, SCALE_E4M3, 8, false)
FEW_SHARED_TYPES(nvfp4, 64, 4, false, SCALE_E4M3, 8, false)
