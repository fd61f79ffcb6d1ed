// Codes to floats: out[row, col] = value(row, col), rounded to out's type. One thread a weight, 64-bit offsets.
#include "weights.cuh"

template <class S>
__device__ __forceinline__ void dequantize(const lowbit::Matrix& w, void* out, uint32_t type) {
    int64_t total = w.n * w.k;
    int64_t step = int64_t(gridDim.x) * blockDim.x;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += step) {
        int64_t row = i / w.k;
        uint32_t col = uint32_t(i - row * w.k);
        lowbit::store(out, type, row * w.k + lowbit::column<S>(w, col), S::value(w, uint32_t(row), col));
    }
}

#define DEQUANTIZE(suffix, S)                                                                            \
    extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, dequantize_##suffix)(           \
        const __grid_constant__ lowbit::Matrix w, void* out, uint32_t type) {                            \
        dequantize<S>(w, out, type);                                                                     \
    }
LOWBIT_SCHEMES(DEQUANTIZE)
