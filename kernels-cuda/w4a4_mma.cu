// architectures: 89
// INT4 weights times INT4 activations on Ada.
#include "w4a8_mma.cuh"

W4A8_MMA_TILES(w4a4_mma, MmaS4)
