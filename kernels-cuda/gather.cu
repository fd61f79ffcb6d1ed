// x with its columns in the order in which a matrix with act-order holds its own: to[row, i] = x[row, order[i]].
//
// Columns come from anywhere in a row, so a block copies rows whole into shared memory, as they lie, and takes the columns
// from there: neighbours of `to` a thread, whose places are looked up once for all rows, before the wait for the kernel
// before. A row that is longer than shared memory is read where it is.
#include "weights.cuh"

namespace lowbit {

constexpr int GATHER_THREADS = 256, GATHER_OWN = 8, GATHER_TIMES = 4;  // columns of a thread: 8 neighbours, up to 4 times

// A block takes `columns` columns, at most GATHER_THREADS · GATHER_OWN · GATHER_TIMES and a multiple of GATHER_OWN, of blockRows rows,
// time after time; hold: 1 where the rows fit shared memory.
template <class T>
__device__ __forceinline__ void gather(const T* x, const int32_t* order, T* to, int64_t m, int64_t k, uint32_t blockRows, uint32_t columns,
                                       uint32_t hold) {
    constexpr int VECTOR = 16 / sizeof(T);  // elements of 16 bytes
    struct alignas(16) Vector {
        T v[VECTOR];
    };
    extern __shared__ __align__(16) uint8_t shared[];
    T* const held = reinterpret_cast<T*>(shared);
    const int64_t first = int64_t(blockIdx.y) * columns, last = first + columns < k ? first + columns : k;
    // The order goes on to whole records, with columns that are there.
    int32_t at[GATHER_TIMES][GATHER_OWN];
#pragma unroll
    for (int j = 0; j < GATHER_TIMES; j++) {
        const int64_t column = first + (j * GATHER_THREADS + threadIdx.x) * GATHER_OWN;
        const int4* const from = reinterpret_cast<const int4*>(order + (column < last ? column : first));
        *reinterpret_cast<int4*>(at[j]) = from[0];
        *reinterpret_cast<int4*>(at[j] + 4) = from[1];
    }
#if __CUDA_ARCH__ >= 900
    griddepcontrol_launch_dependents();
    griddepcontrol_wait();
#endif
    const bool even = k % VECTOR == 0;
    for (int64_t row = int64_t(blockIdx.x) * blockRows; row < m; row += int64_t(gridDim.x) * blockRows) {
        const int rows = int(m - row < blockRows ? m - row : blockRows);
        const T* from = x + row * k;
        if (hold) {
            __syncthreads();  // the rows before have been read
            const int64_t count = rows * k, whole = reinterpret_cast<uintptr_t>(from) % 16 == 0 ? count / VECTOR : 0;
#pragma unroll 4
            for (int64_t i = threadIdx.x; i < whole; i += GATHER_THREADS) {
                reinterpret_cast<Vector*>(held)[i] = reinterpret_cast<const Vector*>(from)[i];
            }
            for (int64_t i = whole * VECTOR + threadIdx.x; i < count; i += GATHER_THREADS) {
                held[i] = from[i];
            }
            __syncthreads();
            from = held;
        }
        for (int r = 0; r < rows; r++, from += k) {
#pragma unroll
            for (int j = 0; j < GATHER_TIMES; j++) {
                const int64_t column = first + (j * GATHER_THREADS + threadIdx.x) * GATHER_OWN;
                if (column >= last) {
                    break;
                }
                Vector out[GATHER_OWN / VECTOR];
#pragma unroll
                for (int i = 0; i < GATHER_OWN; i++) {
                    out[i / VECTOR].v[i % VECTOR] = from[at[j][i]];
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
    extern "C" __global__ void __launch_bounds__(lowbit::GATHER_THREADS, 3) LOWBIT_NAME(ARCH, gather_##suffix)(                        \
        const T* x, const int32_t* order, T* to, int64_t m, int64_t k, uint32_t blockRows, uint32_t columns, uint32_t hold) {     \
        lowbit::gather<T>(x, order, to, m, k, blockRows, columns, hold);                                                          \
    }
GATHER(16, uint16_t)
GATHER(32, uint32_t)
