// More wrappers for what only Hopper has: the bulk copy engine, its barriers, clusters, matrices in shared memory. One instruction
// each; nothing here decides anything.
#pragma once
#include "ptx.cuh"

namespace lowbit {

// A CUtensorMap: 128 bytes that the host has encoded, passed as a __grid_constant__ parameter.
struct alignas(64) TensorMap {
    uint64_t words[16];
};

// ---- barriers in shared memory

__device__ __forceinline__ void barrier_arrive(uint32_t barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Waits until the phase of this parity is over.
__device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity) {
    uint32_t done;
    do {
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
    } while (!done);
}

// ---- copies of boxes: column x, row y of the map

// What the L2 cache is told: read once, or read again soon.
constexpr uint64_t EVICT_FIRST = 0x12f0000000000000, EVICT_NORMAL = 0x1000000000000000, EVICT_LAST = 0x14f0000000000000;

__device__ __forceinline__ void load_box(uint32_t to, const TensorMap* map, int32_t x, int32_t y, uint32_t barrier, uint64_t policy) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(to),
        "l"(map), "r"(x), "r"(y), "r"(barrier), "l"(policy)
        : "memory");
}

// The box into the L2 cache.
__device__ __forceinline__ void prefetch_box(const TensorMap* map, int32_t x, int32_t y) {
    asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global [%0, {%1, %2}];" ::"l"(map), "r"(x), "r"(y) : "memory");
}

__device__ __forceinline__ void store_box(const TensorMap* map, int32_t x, int32_t y, uint32_t from) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map), "r"(x), "r"(y), "r"(from)
                 : "memory");
}

__device__ __forceinline__ void store_commit() {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// Waits until the committed stores have read shared memory.
__device__ __forceinline__ void store_wait_read() {
    asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

// ---- clusters

__device__ __forceinline__ uint32_t cluster_rank() {
    uint32_t r;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
    return r;
}

// cluster_arrive makes this thread's stores to shared memory of the cluster visible to who waits. All threads of all blocks do
// both, in turn; a thread may end after its last arrive.
__device__ __forceinline__ void cluster_sync() {
    cluster_arrive();
    cluster_wait();
}

// What lies at `address` of this block, in block `rank`.
__device__ __forceinline__ uint32_t remote_address(uint32_t address, uint32_t rank) {
    uint32_t r;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(address), "r"(rank));
    return r;
}

__device__ __forceinline__ void store_remote(uint32_t address, float v) {
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(v) : "memory");
}

__device__ __forceinline__ void load_shared_floats(float (&v)[2], uint32_t address) {
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(v[0]), "=f"(v[1]) : "r"(address) : "memory");
}

__device__ __forceinline__ void load_shared_floats(float (&v)[4], uint32_t address) {
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v[0]), "=f"(v[1]), "=f"(v[2]), "=f"(v[3]) : "r"(address) : "memory");
}

// ---- warpgroups

// Matrix in shared memory at `address` (a multiple of 1024): rows of 128 bytes along K, the 16-byte pieces of row r at piece
// index XOR r%8, 8 rows in 1024 bytes. A step of b bytes (b < 128) along K adds b/16 to it; r rows (8 | r) add 8·r.
__device__ __forceinline__ uint64_t descriptor(uint32_t address) {
    return uint64_t(address & 0x3ffff) >> 4 | uint64_t(1) << 16 | uint64_t(1024 >> 4) << 32 | uint64_t(1) << 62;
}

// The same matrix `bytes` (a multiple of 16) further on.
__device__ __forceinline__ uint64_t descriptor_at(uint64_t matrix, uint32_t bytes) {
    return matrix & 0xffffffff00000000 | uint32_t(matrix) + (bytes >> 4);
}

}  // namespace lowbit
