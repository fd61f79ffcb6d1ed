// x with its columns in the order in which a matrix with act-order holds its own: to[row, i] = x[row, order[i]].
//
// Columns come from anywhere in a row, so a block copies rows whole into shared memory, as they lie, and takes the columns
// from there: 8 neighbours of `to` a thread, whose places are looked up once for all rows. A row that is longer than
// shared memory is read where it is.
#include "weights.cuh"

namespace lowbit {

constexpr int GATHER_THREADS = 256, GATHER_OWN = 8;  // columns of a thread

// A block takes blockRows rows, and of them `columns` columns, a multiple of GATHER_OWN; hold: 1 where the rows fit shared memory.
template <class T>
__device__ __forceinline__ void gather(const T* x, const int32_t* order, T* to, int64_t m, int64_t k, uint32_t blockRows, uint32_t columns,
                                       uint32_t hold) {
    constexpr int VECTOR = 16 / sizeof(T);  // elements of 16 bytes
    struct alignas(16) Vector {
        T v[VECTOR];
    };
    extern __shared__ __align__(16) uint8_t shared[];
    T* const held = reinterpret_cast<T*>(shared);
#if __CUDA_ARCH__ >= 900
    griddepcontrol_launch_dependents();
    griddepcontrol_wait();
#endif
    const int64_t first = int64_t(blockIdx.y) * columns, last = first + columns < k ? first + columns : k;
    const bool even = k % VECTOR == 0;
    for (int64_t row = int64_t(blockIdx.x) * blockRows; row < m; row += int64_t(gridDim.x) * blockRows) {
        const int rows = int(m - row < blockRows ? m - row : blockRows);
        const T* from = x + row * k;
        if (hold) {
            __syncthreads();  // the rows before have been read
            const int64_t count = rows * k;
            if (reinterpret_cast<uintptr_t>(from) % 16 == 0) {
                for (int64_t i = threadIdx.x; i < count / VECTOR; i += GATHER_THREADS) {
                    reinterpret_cast<Vector*>(held)[i] = reinterpret_cast<const Vector*>(from)[i];
                }
                for (int64_t i = count / VECTOR * VECTOR + threadIdx.x; i < count; i += GATHER_THREADS) {
                    held[i] = from[i];
                }
            } else {
                for (int64_t i = threadIdx.x; i < count; i += GATHER_THREADS) {
                    held[i] = from[i];
                }
            }
            __syncthreads();
            from = held;
        }
        for (int64_t column = first + threadIdx.x * GATHER_OWN; column < last; column += GATHER_THREADS * GATHER_OWN) {
            int32_t at[GATHER_OWN];  // the order goes on to whole records, with columns that are there
            *reinterpret_cast<int4*>(at) = *reinterpret_cast<const int4*>(order + column);
            *reinterpret_cast<int4*>(at + 4) = *reinterpret_cast<const int4*>(order + column + 4);
#pragma unroll 1
            for (int r = 0; r < rows; r++) {
                const T* const own = from + r * k;
                Vector out[GATHER_OWN / VECTOR];
#pragma unroll
                for (int i = 0; i < GATHER_OWN; i++) {
                    out[i / VECTOR].v[i % VECTOR] = own[at[i]];
                }
                T* const p = to + (row + r) * k + column;
                if (even) {
#pragma unroll
                    for (int i = 0; i < GATHER_OWN / VECTOR; i++) {
                        if (column + i * VECTOR < last) {
                            reinterpret_cast<Vector*>(p)[i] = out[i];
                        }
                    }
                } else {
#pragma unroll
                    for (int i = 0; i < GATHER_OWN; i++) {
                        if (column + i < last) {
                            p[i] = out[i / VECTOR].v[i % VECTOR];
                        }
                    }
                }
            }
        }
    }
}

}  // namespace lowbit

#define GATHER(suffix, T)                                                                                                         \
    extern "C" __global__ void __launch_bounds__(lowbit::GATHER_THREADS) LOWBIT_NAME(ARCH, gather_##suffix)(                        \
        const T* x, const int32_t* order, T* to, int64_t m, int64_t k, uint32_t blockRows, uint32_t columns, uint32_t hold) {     \
        lowbit::gather<T>(x, order, to, m, k, blockRows, columns, hold);                                                          \
    }
GATHER(16, uint16_t)
GATHER(32, uint32_t)
