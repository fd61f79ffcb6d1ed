// architectures: 90a
// Kernels that tell what a launch gave them: clusters, shared memory, dependent launches, tensor maps. For LaunchGpuTest;
// kernels-cuda/build.sh makes the PTX beside this file.
#include "hopper.cuh"

using namespace lowbit;

namespace {

__device__ uint32_t cluster_blocks() {
    uint32_t r;
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(r));
    return r;
}

__device__ uint32_t dynamic_shared_bytes() {
    uint32_t r;
    asm volatile("mov.u32 %0, %%dynamic_smem_size;" : "=r"(r));
    return r;
}

__device__ uint64_t nanoseconds() {
    uint64_t r;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(r)::"memory");
    return r;
}

}  // namespace

extern __shared__ __align__(1024) uint8_t shared[];

// out[block] = {blocks of its cluster, its rank, number of the block whose shared memory the next rank has, threads}: the third
// is read through the cluster's shared memory.
extern "C" __global__ void sm90_probe_cluster(uint4* out) {
    __shared__ float number;
    const uint32_t blocks = cluster_blocks(), rank = cluster_rank();
    const uint32_t block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    cluster_sync();  // all of them run
    if (threadIdx.x == 0) {
        // Each block tells the one before it.
        store_remote(remote_address(shared_address(&number), (rank + blocks - 1) % blocks), float(block));
    }
    cluster_sync();
    if (threadIdx.x == 0) {
        out[block] = make_uint4(blocks, rank, uint32_t(number), blockDim.x * blockDim.y * blockDim.z);
    }
}

// out[0] = the dynamic shared memory, out[1] = how many of its words hold what was stored there.
extern "C" __global__ void sm90_probe_shared(uint32_t* out) {
    const uint32_t bytes = dynamic_shared_bytes(), words = bytes / 4;
    uint32_t* const mine = reinterpret_cast<uint32_t*>(shared);
    for (uint32_t i = threadIdx.x; i < words; i += blockDim.x) {
        mine[i] = i * 2654435761u;
    }
    __syncthreads();
    uint32_t right = 0;
    for (uint32_t i = threadIdx.x; i < words; i += blockDim.x) {
        // What another thread has stored.
        const uint32_t at = words - 1 - i;
        right += mine[at] == at * 2654435761u;
    }
    atomicAdd(out + 1, right);
    if (threadIdx.x == 0) {
        out[0] = bytes;
    }
}

// Waits up to `patience` nanoseconds for the kernel after it to have begun, tells whether it has, then hands it `value`.
extern "C" __global__ void sm90_probe_first(volatile uint32_t* began, uint32_t* seen, uint32_t* handed, uint32_t value, uint64_t patience) {
    griddepcontrol_launch_dependents();
    const uint64_t start = nanoseconds();
    while (*began == 0 && nanoseconds() - start < patience) {
    }
    *seen = *began;
    *handed = value;
}

// The kernel after it: says that it has begun, waits for the first as the launch's attribute demands, takes what it handed over.
extern "C" __global__ void sm90_probe_second(volatile uint32_t* began, const uint32_t* handed, uint32_t* taken) {
    *began = 1;
    __threadfence();
    griddepcontrol_wait();
    *taken = *reinterpret_cast<const volatile uint32_t*>(handed);
}

// Copies the box at column x, row y through shared memory as the tensor memory accelerator leaves it there: `bytes` bytes.
extern "C" __global__ void sm90_probe_box(const __grid_constant__ TensorMap map, int32_t x, int32_t y, uint32_t bytes, uint8_t* out) {
    __shared__ __align__(8) uint64_t barrier;
    const uint32_t at = shared_address(&barrier);
    if (threadIdx.x == 0) {
        mbarrier_init(at, 1);
        fence_mbarrier_init();
        mbarrier_arrive_expect(at, bytes);
        load_box(shared_address(shared), &map, x, y, at, EVICT_NORMAL);
    }
    __syncthreads();
    barrier_wait(at, 0);
    for (uint32_t i = threadIdx.x; i < bytes; i += blockDim.x) {
        out[i] = shared[i];
    }
}

// The other way: `bytes` bytes of `in` to the box at column x, row y.
extern "C" __global__ void sm90_probe_store(const __grid_constant__ TensorMap map, int32_t x, int32_t y, uint32_t bytes, const uint8_t* in) {
    for (uint32_t i = threadIdx.x; i < bytes; i += blockDim.x) {
        shared[i] = in[i];
    }
    fence_async_shared();
    __syncthreads();
    if (threadIdx.x == 0) {
        store_box(&map, x, y, shared_address(shared));
        store_commit();
        asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
    }
}
