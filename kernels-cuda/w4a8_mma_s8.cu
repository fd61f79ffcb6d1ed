// architectures: 89
// INT4 weights times INT8 activations on Ada.
#include "w4a8_mma.cuh"

W4A8_MMA_TILES(w4a8_mma_s8, MmaS8)
