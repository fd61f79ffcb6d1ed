// wgmma with 8-bit operands, A in registers: D[64×N] += A[64×32]·B[N×32]ᵀ, E4M3 with f32 sums or s8 with s32 sums. B lies in
// shared memory, see descriptor() in hopper.cuh. Lane l of warp w (of the warpgroup's four) holds, with g = l/4 and t = l%4:
//   a[0] = A[16w+g][4t … 4t+3]   a[1] = A[16w+g+8][4t …]   a[2] = A[16w+g][16+4t …]   a[3] = A[16w+g+8][16+4t …]
//   d[4j], d[4j+1] = D[16w+g][8j+2t, 8j+2t+1]   d[4j+2], d[4j+3] = D[16w+g+8][8j+2t, 8j+2t+1]
//
// "sum" 0 starts a new sum, anything else adds. The operands belong to the tensor cores until wgmma_wait says otherwise.
#pragma once
#include <cstdint>

namespace lowbit {

template <int N>
struct WgmmaA;

#define LOWBIT_WGMMA_E4M3 \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %9, 0; wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {" \
        "%0,%1,%2,%3" \
        "}, {%4,%5,%6,%7}, %8, p, 1, 1; }" \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(sum))
#define LOWBIT_WGMMA_S8 \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %9, 0; wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8 {" \
        "%0,%1,%2,%3" \
        "}, {%4,%5,%6,%7}, %8, p; }" \
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(sum))
template <>
struct WgmmaA<8> {
    static __device__ __forceinline__ void add(float (&d)[4], const uint32_t (&a)[4], uint64_t b, int sum) { LOWBIT_WGMMA_E4M3; }
    static __device__ __forceinline__ void add(int32_t (&d)[4], const uint32_t (&a)[4], uint64_t b, int sum) { LOWBIT_WGMMA_S8; }
};
#undef LOWBIT_WGMMA_E4M3
#undef LOWBIT_WGMMA_S8

#define LOWBIT_WGMMA_E4M3 \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %13, 0; wgmma.mma_async.sync.aligned.m64n16k32.f32.e4m3.e4m3 {" \
        "%0,%1,%2,%3,%4,%5,%6,%7" \
        "}, {%8,%9,%10,%11}, %12, p, 1, 1; }" \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(sum))
#define LOWBIT_WGMMA_S8 \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %13, 0; wgmma.mma_async.sync.aligned.m64n16k32.s32.s8.s8 {" \
        "%0,%1,%2,%3,%4,%5,%6,%7" \
        "}, {%8,%9,%10,%11}, %12, p; }" \
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]), "+r"(d[4]), "+r"(d[5]), "+r"(d[6]), "+r"(d[7]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(sum))
template <>
struct WgmmaA<16> {
    static __device__ __forceinline__ void add(float (&d)[8], const uint32_t (&a)[4], uint64_t b, int sum) { LOWBIT_WGMMA_E4M3; }
    static __device__ __forceinline__ void add(int32_t (&d)[8], const uint32_t (&a)[4], uint64_t b, int sum) { LOWBIT_WGMMA_S8; }
};
#undef LOWBIT_WGMMA_E4M3
#undef LOWBIT_WGMMA_S8

#define LOWBIT_WGMMA_E4M3 \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %21, 0; wgmma.mma_async.sync.aligned.m64n32k32.f32.e4m3.e4m3 {" \
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15" \
        "}, {%16,%17,%18,%19}, %20, p, 1, 1; }" \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), \
          "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(sum))
#define LOWBIT_WGMMA_S8 \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %21, 0; wgmma.mma_async.sync.aligned.m64n32k32.s32.s8.s8 {" \
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15" \
        "}, {%16,%17,%18,%19}, %20, p; }" \
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]), "+r"(d[4]), "+r"(d[5]), "+r"(d[6]), "+r"(d[7]), "+r"(d[8]), \
          "+r"(d[9]), "+r"(d[10]), "+r"(d[11]), "+r"(d[12]), "+r"(d[13]), "+r"(d[14]), "+r"(d[15]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(sum))
template <>
struct WgmmaA<32> {
    static __device__ __forceinline__ void add(float (&d)[16], const uint32_t (&a)[4], uint64_t b, int sum) { LOWBIT_WGMMA_E4M3; }
    static __device__ __forceinline__ void add(int32_t (&d)[16], const uint32_t (&a)[4], uint64_t b, int sum) { LOWBIT_WGMMA_S8; }
};
#undef LOWBIT_WGMMA_E4M3
#undef LOWBIT_WGMMA_S8

#define LOWBIT_WGMMA_E4M3 \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0; wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3 {" \
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26," \
        "%27,%28,%29,%30,%31" \
        "}, {%32,%33,%34,%35}, %36, p, 1, 1; }" \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), \
          "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), \
          "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), \
          "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(sum))
#define LOWBIT_WGMMA_S8 \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0; wgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8 {" \
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26," \
        "%27,%28,%29,%30,%31" \
        "}, {%32,%33,%34,%35}, %36, p; }" \
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]), "+r"(d[4]), "+r"(d[5]), "+r"(d[6]), "+r"(d[7]), "+r"(d[8]), \
          "+r"(d[9]), "+r"(d[10]), "+r"(d[11]), "+r"(d[12]), "+r"(d[13]), "+r"(d[14]), "+r"(d[15]), "+r"(d[16]), \
          "+r"(d[17]), "+r"(d[18]), "+r"(d[19]), "+r"(d[20]), "+r"(d[21]), "+r"(d[22]), "+r"(d[23]), "+r"(d[24]), \
          "+r"(d[25]), "+r"(d[26]), "+r"(d[27]), "+r"(d[28]), "+r"(d[29]), "+r"(d[30]), "+r"(d[31]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(sum))
template <>
struct WgmmaA<64> {
    static __device__ __forceinline__ void add(float (&d)[32], const uint32_t (&a)[4], uint64_t b, int sum) { LOWBIT_WGMMA_E4M3; }
    static __device__ __forceinline__ void add(int32_t (&d)[32], const uint32_t (&a)[4], uint64_t b, int sum) { LOWBIT_WGMMA_S8; }
};
#undef LOWBIT_WGMMA_E4M3
#undef LOWBIT_WGMMA_S8

#define LOWBIT_WGMMA_E4M3 \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %69, 0; wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 {" \
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26," \
        "%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51," \
        "%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63" \
        "}, {%64,%65,%66,%67}, %68, p, 1, 1; }" \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), \
          "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), \
          "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), \
          "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), \
          "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), \
          "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), \
          "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]), \
          "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(sum))
#define LOWBIT_WGMMA_S8 \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %69, 0; wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {" \
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26," \
        "%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51," \
        "%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63" \
        "}, {%64,%65,%66,%67}, %68, p; }" \
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]), "+r"(d[4]), "+r"(d[5]), "+r"(d[6]), "+r"(d[7]), "+r"(d[8]), \
          "+r"(d[9]), "+r"(d[10]), "+r"(d[11]), "+r"(d[12]), "+r"(d[13]), "+r"(d[14]), "+r"(d[15]), "+r"(d[16]), \
          "+r"(d[17]), "+r"(d[18]), "+r"(d[19]), "+r"(d[20]), "+r"(d[21]), "+r"(d[22]), "+r"(d[23]), "+r"(d[24]), \
          "+r"(d[25]), "+r"(d[26]), "+r"(d[27]), "+r"(d[28]), "+r"(d[29]), "+r"(d[30]), "+r"(d[31]), "+r"(d[32]), \
          "+r"(d[33]), "+r"(d[34]), "+r"(d[35]), "+r"(d[36]), "+r"(d[37]), "+r"(d[38]), "+r"(d[39]), "+r"(d[40]), \
          "+r"(d[41]), "+r"(d[42]), "+r"(d[43]), "+r"(d[44]), "+r"(d[45]), "+r"(d[46]), "+r"(d[47]), "+r"(d[48]), \
          "+r"(d[49]), "+r"(d[50]), "+r"(d[51]), "+r"(d[52]), "+r"(d[53]), "+r"(d[54]), "+r"(d[55]), "+r"(d[56]), \
          "+r"(d[57]), "+r"(d[58]), "+r"(d[59]), "+r"(d[60]), "+r"(d[61]), "+r"(d[62]), "+r"(d[63]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(sum))
template <>
struct WgmmaA<128> {
    static __device__ __forceinline__ void add(float (&d)[64], const uint32_t (&a)[4], uint64_t b, int sum) { LOWBIT_WGMMA_E4M3; }
    static __device__ __forceinline__ void add(int32_t (&d)[64], const uint32_t (&a)[4], uint64_t b, int sum) { LOWBIT_WGMMA_S8; }
};
#undef LOWBIT_WGMMA_E4M3
#undef LOWBIT_WGMMA_S8

}  // namespace lowbit
