// What a Llama-family decoder does between its linear layers: embedding, RMSNorm, rotation with the key/value
// cache, attention, SwiGLU. The residual stream is f32, what linear layers read and write bf16, all arithmetic f32.
//
// Nothing a launch is told changes from token to token: tokens and position are read from device memory, so a captured
// graph of one step serves every step. Every sum has a fixed order.
#include "weights.cuh"

namespace lowbit {

constexpr float NONE = -__builtin_huge_valf();

__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        v = __fadd_rn(v, __shfl_xor_sync(0xffffffffu, v, d));
    }
    return v;
}

__device__ __forceinline__ float warp_max(float v) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
    }
    return v;
}

// The sum over a block of at most 1024 threads, in every thread. `part` is shared memory for 32 floats.
__device__ __forceinline__ float block_sum(float v, float* part) {
    v = warp_sum(v);
    __syncthreads();  // the last sum has been read
    if (threadIdx.x % 32 == 0) {
        part[threadIdx.x / 32] = v;
    }
    __syncthreads();
    float sum = 0.f;
    for (int w = 0; w < blockDim.x / 32; w++) {
        sum = __fadd_rn(sum, part[w]);
    }
    return sum;
}

// 1 / sqrt(mean of squares + epsilon).
__device__ __forceinline__ float inverse_rms(float squares, int n, float epsilon) {
    return __fdiv_rn(1.f, __fsqrt_rn(__fadd_rn(__fdiv_rn(squares, float(n)), epsilon)));
}

// One query row of a key/value head's group, as one warp attends to it: the largest score so far, this lane's part of the
// sum of e^(score - largest), and for words lane, lane + 32, … of the head the weighted sum of values.
template <int WORDS>
struct Row {
    float most, sum;
    float2 out[WORDS];
};

// Takes up to 32 keys, `first` on, into the softmax of four rows. Lane i scores key first + i: q·k in the order of the
// dimensions. Row r sees keys low[r] ≤ key < high[r]; no key at or beyond `end` is read.
//
//   keys, values  bf16 [position, stride], stride a multiple of 8, zero beyond the head's dimensions
//   q             shared, float4 a dimension: the four rows' elements
//   p             shared, this warp's: float4 a key, the four rows' weights
template <int WORDS>
__device__ __forceinline__ void attend_tile(Row<WORDS> (&row)[4], const uint16_t* keys, const uint16_t* values, int stride, int first, int end,
                                            const int (&low)[4], const int (&high)[4], float scale, const float4* q, float4* p) {
    const int lane = threadIdx.x % 32;
    const int key = first + lane;
    float score[4] = {};
    const uint4* k = reinterpret_cast<const uint4*>(keys + int64_t(key < end ? key : end - 1) * stride);
#pragma unroll 4
    for (int w = 0; w < stride / 8; w++) {
        const uint4 eight = k[w];
        const uint32_t pair[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float a = __uint_as_float(pair[i] << 16), b = __uint_as_float(pair[i] & 0xffff0000u);
            const float4 qa = q[8 * w + 2 * i], qb = q[8 * w + 2 * i + 1];
            score[0] = __fmaf_rn(qb.x, b, __fmaf_rn(qa.x, a, score[0]));
            score[1] = __fmaf_rn(qb.y, b, __fmaf_rn(qa.y, a, score[1]));
            score[2] = __fmaf_rn(qb.z, b, __fmaf_rn(qa.z, a, score[2]));
            score[3] = __fmaf_rn(qb.w, b, __fmaf_rn(qa.w, a, score[3]));
        }
    }
    float weight[4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const float s = key >= low[r] && key < high[r] ? __fmul_rn(score[r], scale) : NONE;
        const float most = fmaxf(row[r].most, warp_max(s));
        // a row that has seen no key yet stays empty: NONE - NONE would be NaN
        const float fade = row[r].most == NONE ? 0.f : expf(__fsub_rn(row[r].most, most));
        weight[r] = s == NONE ? 0.f : expf(__fsub_rn(s, most));
        row[r].most = most;
        row[r].sum = __fmaf_rn(row[r].sum, fade, weight[r]);
#pragma unroll
        for (int j = 0; j < WORDS; j++) {
            row[r].out[j].x = __fmul_rn(row[r].out[j].x, fade);
            row[r].out[j].y = __fmul_rn(row[r].out[j].y, fade);
        }
    }
    __syncwarp();  // the last tile's weights have been read
    p[lane] = make_float4(weight[0], weight[1], weight[2], weight[3]);
    __syncwarp();
    const int count = end - first < 32 ? end - first : 32;
#pragma unroll 8
    for (int i = 0; i < count; i++) {
        const float4 w = p[i];
        const uint32_t* v = reinterpret_cast<const uint32_t*>(values + int64_t(first + i) * stride);
#pragma unroll
        for (int j = 0; j < WORDS; j++) {
            const uint32_t pair = 2 * (lane + 32 * j) < stride ? v[lane + 32 * j] : 0u;
            const float a = __uint_as_float(pair << 16), b = __uint_as_float(pair & 0xffff0000u);
            row[0].out[j].x = __fmaf_rn(w.x, a, row[0].out[j].x);
            row[0].out[j].y = __fmaf_rn(w.x, b, row[0].out[j].y);
            row[1].out[j].x = __fmaf_rn(w.y, a, row[1].out[j].x);
            row[1].out[j].y = __fmaf_rn(w.y, b, row[1].out[j].y);
            row[2].out[j].x = __fmaf_rn(w.z, a, row[2].out[j].x);
            row[2].out[j].y = __fmaf_rn(w.z, b, row[2].out[j].y);
            row[3].out[j].x = __fmaf_rn(w.w, a, row[3].out[j].x);
            row[3].out[j].y = __fmaf_rn(w.w, b, row[3].out[j].y);
        }
    }
}

// Four rows' queries as float4 a dimension; zero for rows that are not there (`at` < 0) and beyond the head's dimensions.
__device__ __forceinline__ void load_queries(float4* to, const uint16_t* q, const int64_t (&at)[4], int headDim, int stride, int thread, int threads) {
#pragma unroll 1
    for (int d = thread; d < stride; d += threads) {
        float v[4];
#pragma unroll
        for (int r = 0; r < 4; r++) {
            v[r] = at[r] >= 0 && d < headDim ? bf16_to_f32(q[at[r] + d]) : 0.f;
        }
        to[d] = make_float4(v[0], v[1], v[2], v[3]);
    }
}

// One query row for each of grid z; block (key/value head, four of its query heads); its 8 warps take every eighth tile of
// 32 keys and are added up at the end, in order.
template <int WORDS>
__device__ __forceinline__ void attend_one(const uint16_t* q, const uint16_t* keys, const uint16_t* values, uint16_t* out, const int32_t* position,
                                           int kvHeads, int group, int headDim, int stride, int64_t capacity, int window, float scale) {
    constexpr int WARPS = 8;
    __shared__ float4 sq[64 * WORDS];
    __shared__ float4 sp[WARPS][32];
    __shared__ float most[WARPS][4], sum[WARPS][4], fade[WARPS][4];
    __shared__ float2 part[WARPS][4][32 * WORDS];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int kv = blockIdx.x, head = 4 * blockIdx.y, query = blockIdx.z;
    const int at = *position + query;
    const int high = at + 1, low = high > window ? high - window : 0;
    const int64_t first4 = ((int64_t(query) * kvHeads + kv) * group + head) * headDim;
    int64_t from[4];
    int lows[4], highs[4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
        from[r] = head + r < group ? first4 + r * headDim : -1;
        lows[r] = low;
        highs[r] = high;
    }
    load_queries(sq, q, from, headDim, stride, threadIdx.x, 32 * WARPS);
    __syncthreads();
    Row<WORDS> row[4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
        row[r].most = NONE;
        row[r].sum = 0.f;
#pragma unroll
        for (int j = 0; j < WORDS; j++) {
            row[r].out[j] = make_float2(0.f, 0.f);
        }
    }
    keys += kv * capacity * stride;
    values += kv * capacity * stride;
    for (int first = low + 32 * warp; first < high; first += 32 * WARPS) {
        attend_tile(row, keys, values, stride, first, high, lows, highs, scale, sq, sp[warp]);
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const float s = warp_sum(row[r].sum);
        if (lane == 0) {
            most[warp][r] = row[r].most;
            sum[warp][r] = s;
        }
#pragma unroll
        for (int j = 0; j < WORDS; j++) {
            part[warp][r][lane + 32 * j] = row[r].out[j];
        }
    }
    __syncthreads();
    if (threadIdx.x < 4 * WARPS) {
        const int w = threadIdx.x / 4, r = threadIdx.x % 4;
        float top = NONE;
        for (int i = 0; i < WARPS; i++) {
            top = fmaxf(top, most[i][r]);
        }
        fade[w][r] = most[w][r] == NONE ? 0.f : expf(__fsub_rn(most[w][r], top));
    }
    __syncthreads();
    const int rows = group - head < 4 ? group - head : 4;
    for (int i = threadIdx.x; i < rows * headDim; i += 32 * WARPS) {
        const int r = i / headDim, d = i % headDim;
        float total = 0.f, v = 0.f;
        for (int w = 0; w < WARPS; w++) {
            const float2 pair = part[w][r][d / 2];
            total = __fmaf_rn(sum[w][r], fade[w][r], total);
            v = __fmaf_rn(d % 2 ? pair.y : pair.x, fade[w][r], v);
        }
        out[first4 + i] = f32_to_bf16(__fdiv_rn(v, total));
    }
}

// Many query rows: a warp takes four neighbours among the rows·group queries of a key/value head and all keys they see.
template <int WORDS, int WARPS>
__device__ __forceinline__ void attend_many(const uint16_t* q, const uint16_t* keys, const uint16_t* values, uint16_t* out, const int32_t* position,
                                            int kvHeads, int group, int headDim, int stride, int64_t capacity, int window, float scale,
                                            int queries) {
    __shared__ float4 sq[WARPS][64 * WORDS];
    __shared__ float4 sp[WARPS][32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int kv = blockIdx.y;
    // late rows see most keys: they come first
    const int first = ((int(gridDim.x) - 1 - int(blockIdx.x)) * WARPS + warp) * 4;
    if (first >= queries * group) {
        return;  // no barrier of the block follows
    }
    const int start = *position;
    int64_t from[4];
    int low[4], high[4];
    int begin = 0x7fffffff, end = 0;
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const int query = (first + r) / group, head = (first + r) % group;
        const bool there = query < queries;
        from[r] = there ? ((int64_t(query) * kvHeads + kv) * group + head) * headDim : -1;
        high[r] = there ? start + query + 1 : 0;
        low[r] = high[r] > window ? high[r] - window : 0;
        if (there) {
            begin = low[r] < begin ? low[r] : begin;
            end = high[r] > end ? high[r] : end;
        }
    }
    load_queries(sq[warp], q, from, headDim, stride, lane, 32);
    __syncwarp();
    Row<WORDS> row[4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
        row[r].most = NONE;
        row[r].sum = 0.f;
#pragma unroll
        for (int j = 0; j < WORDS; j++) {
            row[r].out[j] = make_float2(0.f, 0.f);
        }
    }
    keys += kv * capacity * stride;
    values += kv * capacity * stride;
    for (int tile = begin; tile < end; tile += 32) {
        attend_tile(row, keys, values, stride, tile, end, low, high, scale, sq[warp], sp[warp]);
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const float total = warp_sum(row[r].sum);
        if (from[r] >= 0) {
#pragma unroll
            for (int j = 0; j < WORDS; j++) {
                const int d = 2 * (lane + 32 * j);
                if (d < headDim) {  // heads are even
                    out[from[r] + d] = f32_to_bf16(__fdiv_rn(row[r].out[j].x, total));
                    out[from[r] + d + 1] = f32_to_bf16(__fdiv_rn(row[r].out[j].y, total));
                }
            }
        }
    }
}

}  // namespace lowbit

using namespace lowbit;

// residual[row] = table[tokens[row]]. One block a row.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, embed_f32)(const int32_t* tokens, const void* table, uint32_t tableType,
                                                                                float* residual, int hidden) {
    const int64_t to = int64_t(blockIdx.x) * hidden, from = int64_t(tokens[blockIdx.x]) * hidden;
    for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
        residual[to + i] = load(table, tableType, from + i);
    }
}

// normed = residual / rms · weight. One block a row.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, norm_bf16)(const float* residual, const float* weight, float epsilon,
                                                                               uint16_t* normed, int hidden) {
    __shared__ float part[32];
    const int64_t at = int64_t(blockIdx.x) * hidden;
    float squares = 0.f;
    for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
        const float v = residual[at + i];
        squares = __fmaf_rn(v, v, squares);
    }
    const float inverse = inverse_rms(block_sum(squares, part), hidden, epsilon);
    for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
        normed[at + i] = f32_to_bf16(__fmul_rn(__fmul_rn(residual[at + i], inverse), weight[i]));
    }
}

// Block (row, head): query heads are normed (where there is a norm) and rotated in place, key heads the same into the cache,
// value heads copied into it. The cache is bf16 [key/value head, capacity, stride].
extern "C" __global__ void __launch_bounds__(128) LOWBIT_NAME(ARCH, rotate_bf16)(
    uint16_t* q, const uint16_t* k, const uint16_t* v, const float* qNorm, const float* kNorm, float epsilon, const float* cosines,
    const float* sines, uint16_t* keys, uint16_t* values, const int32_t* position, int heads, int kvHeads, int headDim, int stride,
    int64_t capacity) {
    __shared__ float part[32];
    __shared__ float x[256];
    const int64_t row = blockIdx.x;
    const int head = blockIdx.y, half = headDim / 2;
    const int64_t at = *position + row;
    if (head >= heads + kvHeads) {
        const int kv = head - heads - kvHeads;
        for (int i = threadIdx.x; i < headDim; i += blockDim.x) {
            values[(kv * capacity + at) * stride + i] = v[(row * kvHeads + kv) * headDim + i];
        }
        return;
    }
    const bool query = head < heads;
    const uint16_t* from = query ? q + (row * heads + head) * headDim : k + (row * kvHeads + head - heads) * headDim;
    uint16_t* to = query ? q + (row * heads + head) * headDim : keys + ((head - heads) * capacity + at) * stride;
    const float* norm = query ? qNorm : kNorm;
    float squares = 0.f;
    for (int i = threadIdx.x; i < headDim; i += blockDim.x) {
        x[i] = bf16_to_f32(from[i]);
        squares = __fmaf_rn(x[i], x[i], squares);
    }
    if (norm) {
        const float inverse = inverse_rms(block_sum(squares, part), headDim, epsilon);
        for (int i = threadIdx.x; i < headDim; i += blockDim.x) {
            x[i] = __fmul_rn(__fmul_rn(x[i], inverse), norm[i]);
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < half; i += blockDim.x) {
        const float c = cosines[at * half + i], s = sines[at * half + i];
        const float a = x[i], b = x[i + half];
        to[i] = f32_to_bf16(__fsub_rn(__fmul_rn(a, c), __fmul_rn(b, s)));
        to[i + half] = f32_to_bf16(__fadd_rn(__fmul_rn(b, c), __fmul_rn(a, s)));
    }
}

// gate = gate / (1 + e^-gate) · up, for n elements.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, swiglu_bf16)(uint16_t* gate, const uint16_t* up, int64_t n) {
    const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) {
        const float g = bf16_to_f32(gate[i]);
        gate[i] = f32_to_bf16(__fmul_rn(__fdiv_rn(g, __fadd_rn(1.f, expf(-g))), bf16_to_f32(up[i])));
    }
}

// Attention for heads of up to 64, 128 and 256 dimensions.
#define ATTEND(dims, words, warps)                                                                                                       \
    extern "C" __global__ void __launch_bounds__(256, 2) LOWBIT_NAME(ARCH, attend_one_bf16_##dims)(                                         \
        const uint16_t* q, const uint16_t* keys, const uint16_t* values, uint16_t* out, const int32_t* position, int kvHeads, int group, \
        int headDim, int stride, int64_t capacity, int window, float scale) {                                                            \
        attend_one<words>(q, keys, values, out, position, kvHeads, group, headDim, stride, capacity, window, scale);                     \
    }                                                                                                                                    \
    extern "C" __global__ void __launch_bounds__(32 * warps) LOWBIT_NAME(ARCH, attend_many_bf16_##dims)(                                 \
        const uint16_t* q, const uint16_t* keys, const uint16_t* values, uint16_t* out, const int32_t* position, int kvHeads, int group, \
        int headDim, int stride, int64_t capacity, int window, float scale, int queries) {                                               \
        attend_many<words, warps>(q, keys, values, out, position, kvHeads, group, headDim, stride, capacity, window, scale, queries);    \
    }
ATTEND(64, 1, 4)
ATTEND(128, 2, 4)
ATTEND(256, 4, 2)
