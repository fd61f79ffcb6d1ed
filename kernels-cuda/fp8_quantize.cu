// Activations to 8 bits, as activations.cuh says. The bits are those of the scalar definition (io.lowbit.format).
#include "activations.cuh"

// Each block's largest magnitude to parts[blockIdx.x].
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, fp8_amax_tensor)(const void* x, uint32_t xType, int64_t elements,
                                                                                   float* parts) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    float amax = 0.f;
    const bool aligned = vectors(x, 0);
    const int64_t step = int64_t(gridDim.x) * THREADS * VECTOR;
    for (int64_t i = (int64_t(blockIdx.x) * THREADS + threadIdx.x) * VECTOR; i < elements; i += step) {
        float v[VECTOR];
        load_vector(v, x, xType, i, elements - i, aligned && i + VECTOR <= elements);
        amax = largest(v, amax);
    }
    amax = block_max(amax);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = amax;
    }
}

// Codes and scales[0] from the `count` parts.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, fp8_quantize_tensor)(
    const void* x, uint32_t xType, int64_t m, int64_t k, int64_t pitch, const float* parts, uint32_t count, uint8_t* codes, float* scales,
    uint32_t code, uint32_t interleaved) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    float amax = 0.f;
    for (uint32_t i = threadIdx.x; i < count; i += THREADS) {
        amax = fmaxf(amax, parts[i]);
    }
    const Scale s(scale_of(block_max(amax), code));
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        scales[0] = s.s;
    }
    const Plain source(x, xType, k);
    const int64_t perRow = pitch / VECTOR, all = m * perRow;
    for (int64_t j = int64_t(blockIdx.x) * THREADS + threadIdx.x; j < all; j += int64_t(gridDim.x) * THREADS) {
        const int64_t row = j / perRow, i = (j - row * perRow) * VECTOR;
        float v[VECTOR];
        source.load(v, row, i);
        store_vector(codes + row * pitch, i, v, s, code, interleaved);
    }
}

// One block a row; scales[m].
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, fp8_quantize_row)(
    const void* x, uint32_t xType, int64_t m, int64_t k, int64_t pitch, uint8_t* codes, float* scales, uint32_t code, uint32_t interleaved) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    quantize_row<false>(Plain(x, xType, k), m, k, pitch, codes, scales, code, interleaved, 0, 0);
}

extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, fp8_quantize_block128)(
    const void* x, uint32_t xType, int64_t m, int64_t k, int64_t pitch, uint8_t* codes, float* scales, int64_t scaleStep, uint32_t ue8m0,
    uint32_t interleaved) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    quantize_blocks(Plain(x, xType, k), m, pitch, codes, scales, interleaved, scaleStep, ue8m0);
}
