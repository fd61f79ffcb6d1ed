// architectures: 90a
// INT4 weights times 8-bit activations for few rows of x. What each is good for: io/lowbit/cuda/kernels/choice.txt.
#include "w4a8_few.cuh"

#define FEW(tokens, bands, ways, stages, split, blocks) \
    W4A8_FEW(w4a8_few_e4m3_##tokens##x##bands##_w##ways##_s##stages##_k##split, E4m3Weights, true, tokens, bands, ways, stages, split, blocks)
FEW(16, 1, 4, 8, 1, 2)
FEW(16, 1, 4, 12, 1, 2)
FEW(16, 1, 4, 16, 1, 1)
FEW(16, 1, 4, 8, 2, 2)
FEW(16, 1, 4, 12, 2, 2)
FEW(16, 1, 3, 12, 2, 2)
FEW(16, 1, 2, 8, 1, 3)
FEW(16, 1, 2, 8, 2, 3)
FEW(16, 1, 2, 12, 2, 2)
FEW(16, 1, 7, 14, 1, 1)
FEW(32, 1, 2, 8, 2, 2)
FEW(32, 1, 4, 12, 1, 1)
FEW(64, 1, 4, 12, 1, 1)
FEW(64, 1, 4, 12, 2, 1)
FEW(64, 2, 2, 9, 1, 1)
FEW(64, 2, 1, 6, 2, 2)
FEW(128, 2, 1, 6, 1, 1)
FEW(128, 2, 1, 4, 2, 1)
