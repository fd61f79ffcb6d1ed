// Stream-K in groups of blocks: tiles of y cut along K where blocks that make whole tiles alone would not all have the same to do.
//
// Blocks stand in groups of `runs`; a group cuts its `tiles` tiles into that many runs of steps along K, one a block. A run begins in
// the tail of a tile and ends in the head (the beginning of K) of another. The block that has the head owns the tile: the
// others leave their sums in the workspace, it adds them in order of K, so bits repeat, then it scales and stores. The tiles that
// are not cut are made whole, as ever, after the run, so that who waits for sums waits for what is long done.
//
// Tile c of group g is number c·groups + g, so that blocks that have the same run in each group are at the same step of K of
// neighbouring tiles: what many read at the same time costs the L2 cache once.
//
// A block waits for blocks of lower numbers alone, which are resident before it: no deadlock, whatever else the card runs.
#pragma once
#include "ptx.cuh"

namespace lowbit {

// What is cut, from the host, which sees to it that no run is empty: (runs − 1)·span / runs < tiles·steps ≤ span. groups·runs blocks.
struct Cuts {
    uint32_t* workspace;  // Stream.workspace(): flags, 0 before and after, then the sums of each block
    uint32_t groups;
    uint32_t runs;   // of a group, 0 where nothing is cut
    uint32_t tiles;  // of a group
    uint32_t span;   // run r begins at step r·span / runs of the group's, the last one ends where the tiles do
    uint32_t after;  // > 0: steps of its own after which an owner adds what one other block has; where several have parts, at its end
};

// What a block makes: its run, then whole tiles; of each tile the steps [first, last).
struct CutWalk {
    static constexpr uint32_t WHOLE = ~0u;

    uint32_t tile;         // the one at hand
    uint32_t first, last;  // its steps
    uint32_t left;         // of the run after these, WHOLE after the run

    __device__ __forceinline__ CutWalk(const Cuts& cuts, uint32_t steps, uint32_t block, uint32_t blocks) : tile(block), first(0), last(steps), left(WHOLE) {
        if (cuts.runs > 0) {
            const uint32_t back = blocks - 1 - block, run = back / cuts.groups;
            const uint32_t begin = run * cuts.span / cuts.runs, end = min((run + 1) * cuts.span / cuts.runs, cuts.tiles * steps), c = begin / steps;
            tile = c * cuts.groups + back - run * cuts.groups;
            first = begin - c * steps;
            last = min(steps, first + end - begin);
            left = end - begin - (last - first);
        }
    }

    __device__ __forceinline__ void next(const Cuts& cuts, uint32_t steps, uint32_t block, uint32_t blocks) {
        first = 0;
        last = min(steps, left);
        if (left == WHOLE) {
            tile += blocks;
        } else if (left > 0) {
            tile += cuts.groups;
            left -= last;
        } else {
            tile = cuts.tiles * cuts.groups + block;
            last = steps;
            left = WHOLE;
        }
    }

    // This block scales and stores the tile.
    __device__ __forceinline__ bool owned() const { return first == 0; }

    // As owner: how many of the next runs have parts of this tile.
    __device__ __forceinline__ uint32_t others(const Cuts& cuts, uint32_t steps, uint32_t block, uint32_t blocks) const {
        uint32_t n = 0;
        if (last < steps) {
            const uint32_t run = (blocks - 1 - block) / cuts.groups, end = (run + 1) * cuts.span / cuts.runs - last + steps;
            do {
                n++;
            } while ((run + 1 + n) * cuts.span / cuts.runs < end);
        }
        return n;
    }
};

// Where a group of 128 threads leaves its sums: 16 bytes of each thread side by side.
template <int GROUPS, int VALUES>
struct Slot {
    uint32_t* flag;
    float4* sums;

    __device__ __forceinline__ Slot(uint32_t* workspace, uint32_t block, uint32_t group)
        : flag(workspace + block * GROUPS + group),
          sums(reinterpret_cast<float4*>(workspace + COUNTERS) + (block * GROUPS + group) * (VALUES / 4 * 128) + threadIdx.x % 128) {}

    static constexpr uint32_t COUNTERS = 16384;  // Stream.COUNTER_BYTES

    template <int A, int B>
    __device__ __forceinline__ void store(const float (&v)[A][B]) const {
        static_assert(A * B == VALUES && B % 4 == 0, "sums of a thread");
#pragma unroll
        for (int i = 0; i < VALUES / 4; i++) {
            const float* s = &v[i / (B / 4)][i % (B / 4) * 4];
            // In another order than the tensor core's sums, which lie in pairs of registers: so that those of a multiply-add come out of
            // both banks of the register file. In order BLOCK took 10 % longer, in all tiles.
            __stcg(sums + 128 * i, make_float4(s[1], s[0], s[3], s[2]));
        }
    }

    // By one thread, after a barrier with those that stored.
    __device__ __forceinline__ void publish() const {
        __threadfence();
        asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(1) : "memory");
    }

    // By one thread, before a barrier with those that load.
    __device__ __forceinline__ void await() const {
        while (load_acquire(flag) == 0) {
        }
        asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(0) : "memory");
    }

    template <int A, int B>
    __device__ __forceinline__ void add_to(float (&v)[A][B]) const {
#pragma unroll
        for (int i = 0; i < VALUES / 4; i++) {
            float* s = &v[i / (B / 4)][i % (B / 4) * 4];
            const float4 o = __ldcg(sums + 128 * i);
            s[1] = __fadd_rn(s[1], o.x);
            s[0] = __fadd_rn(s[0], o.y);
            s[3] = __fadd_rn(s[3], o.z);
            s[2] = __fadd_rn(s[2], o.w);
        }
    }
};

}  // namespace lowbit
