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
        load_vector<VECTOR>(v, x, xType, i, elements - i, aligned && i + VECTOR <= elements);
        amax = largest(v, amax);
    }
    amax = block_reduce<false>(amax);
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
    const Scale s(scale_of(block_reduce<false>(amax), code));
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        scales[0] = s.s;
    }
    if (pitch == k) {  // one long row
        k *= m;
        pitch = k;
        m = 1;
    }
    const Plain source(x, xType, k);
    const int64_t perRow = pitch / VECTOR, all = m * perRow;
    for (int64_t j = int64_t(blockIdx.x) * THREADS + threadIdx.x; j < all; j += int64_t(gridDim.x) * THREADS) {
        const int64_t row = m == 1 ? 0 : quotient(j, perRow, all), i = (j - row * perRow) * VECTOR;
        float v[VECTOR];
        source.load(v, row, i);
        store_vector(codes + row * pitch, i, v, s, code, interleaved);
    }
}

// One block a row; scales[m].
extern "C" __global__ void __launch_bounds__(lowbit::MOST_THREADS) LOWBIT_NAME(ARCH, fp8_quantize_row)(
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

// MXFP8: 8 threads for 128 neighbours of a row, whose four blocks of 32 have a power of two each. The scale of row r, block b is the
// bf16 scales[(b/4·scaleStep + r)·4 + b%4].
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, fp8_quantize_block32)(
    const void* x, uint32_t xType, int64_t m, int64_t k, int64_t pitch, uint8_t* codes, uint16_t* scales, int64_t scaleStep) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    constexpr int LANES = 128 / VECTOR, GROUPS = THREADS / LANES, SHARE = 32 / VECTOR;
    const Plain source(x, xType, k);
    const int64_t spans = pitch / 128, all = m * spans;
    const int group = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    for (int64_t first = int64_t(blockIdx.x) * GROUPS; first < all; first += int64_t(gridDim.x) * GROUPS) {
        const int64_t j = min(first + group, all - 1);  // a warp's groups shuffle together; the last one may be done several times
        const int64_t row = quotient(j, spans, all), span = j - row * spans, i = span * 128 + lane * VECTOR;
        float v[VECTOR];
        source.load(v, row, i);
        const float s = up_to_power(scale_of(lanes_max<SHARE>(largest(v, 0.f)), CODE_E4M3));
        store_vector(codes + row * pitch, i, v, Scale(s), CODE_E4M3, 0);
        if (lane % SHARE == 0) {
            scales[(span * scaleStep + row) * 4 + lane / SHARE] = uint16_t(__float_as_uint(s) >> 16);
        }
    }
}
