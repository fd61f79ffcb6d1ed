// architectures: 89
// INT4 weights times E4M3 activations on Ada.
#include "w4a8_mma.cuh"

W4A8_MMA_TILES(w4a8_mma_e4m3, MmaE4m3)
