// Stream-K: tiles of y whose K is cut, so that all blocks end at the same time. Which steps of K of which tile a worker takes
// (StreamK.java has the same arithmetic, and chooses), and how the sums of a tile's pieces come together.
//
// A worker is a block, or a cluster whose blocks do the same steps of neighbouring tiles. First all take tiles as wholes, in
// rounds, as far as the host says; the K of the others lies end to end and is cut into runs of equal length (but for a step), one a worker:
//
//     tile     0              1              2              3              4
//     K     ├──────────────┼──────────────┼──────────────┼──────────────┼──────────────┤
//     run   ├──────0─────────┼──────1──────────┼──────2──────────┼─────────3───────────┤
//
// A run begins with the last part of a tile (its *early* piece: the worker has more to do after it) and ends with the first part
// of another (a *late* piece, whose worker has nothing else to do). Where runs are shorter than a tile, some are one piece
// out of the middle or the end of a tile: late too, as their run ends with them.
//
// Sums meet in the stream's workspace. They are added in the order of K, whoever adds them, so the bits are the same each time.
//   - Runs are numbered backwards: run i belongs to worker workers − 1 − i. Where only the first piece of a tile is late, it waits
//     for the others as long as it takes: they belong to lower workers, whose blocks were there before it.
//   - Where several are late (they end at the same time) each is to finish a share of the tile's chunks, gives the others away
//     and waits for the same from the others. Those need not be on the GPU at all while we wait (another kernel may have their
//     place). So the wait has an end, after which a worker gives its own chunk away too, and who comes last finishes it.
#pragma once
#include "ptx.cuh"

namespace lowbit {

// f(0), f(1) … f(N − 1), the number as a constant: a loop that is surely unrolled, also around barriers.
template <int I>
struct Constant {
    static constexpr int value = I;
};

template <int N, int I = 0, class F>
__device__ __forceinline__ void each(const F& f) {
    if constexpr (I < N) {
        f(Constant<I>{});
        each<N, I + 1>(f);
    }
}

struct CutShape {
    uint32_t whole;     // tiles that are not cut
    uint32_t patience;  // how often a counter is looked at where the wait has an end
};

// The pieces of one tile.
struct Pieces {
    uint32_t tile;   // among those that are cut
    uint32_t mine;   // 0: the beginning of K
    uint32_t count;  // 1: nothing is cut
    uint32_t late;   // the first of them
    uint32_t slot;   // place of the first one's sums in the workspace, the others follow
    bool seeds;      // the second and last piece's sums are there when the first one begins
};

// A worker's way through the tiles: next(), then steps begin … end − 1 of tile. All steps times all workers fit 32 bits.
struct Walk {
    uint32_t tile, begin, end;

    __host__ __device__ __forceinline__ Walk(const CutShape& shape, uint32_t tiles, uint32_t steps, uint32_t worker, uint32_t workers)
        : shape(shape), steps(steps), run(workers - 1 - worker), workers(workers), total((tiles - shape.whole) * steps), ahead(worker) {
        at = runBegin(run);
        until = runBegin(run + 1);
    }

    __host__ __device__ __forceinline__ bool next() {
        if (ahead < shape.whole) {
            tile = ahead;
            ahead += workers;
            begin = 0;
            end = steps;
            return true;
        }
        if (at == until) {
            return false;
        }
        const uint32_t cut = at / steps;
        tile = shape.whole + cut;
        begin = at - cut * steps;
        end = until - at < steps - begin ? begin + (until - at) : steps;
        at += end - begin;
        return true;
    }

    // Whether next() will give another.
    __host__ __device__ __forceinline__ bool more() const { return ahead < shape.whole || at != until; }

    // True where what next() gave is not a whole tile.
    __host__ __device__ __forceinline__ bool part() const { return end - begin != steps; }

    __host__ __device__ __forceinline__ Pieces pieces() const {
        if (tile < shape.whole) {
            return {0, 0, 1, 1, 0, false};
        }
        const uint32_t cut = tile - shape.whole, first = runAt(cut * steps), last = runAt(cut * steps + steps - 1);
        // Runs that are no shorter than a tile give away one piece each, others perhaps two.
        const bool runs = total >= workers * steps;
        return {cut, run - first, last - first + 1, last - first + (runBegin(last + 1) == (cut + 1) * steps), runs ? first : first + cut, runs && last > first};
    }

private:
    const CutShape& shape;
    const uint32_t steps, run, workers, total;
    uint32_t ahead, at, until;

    // Spread evenly, so that tiles are cut alike where there is a whole number of runs to a tile.
    __host__ __device__ __forceinline__ uint32_t runBegin(uint32_t i) const { return i * total / workers; }

    __host__ __device__ __forceinline__ uint32_t runAt(uint32_t step) const { return ((step + 1) * workers - 1) / total; }
};

// Which of a tile's chunks a piece is to finish, as bits.
template <int CHUNKS>
__host__ __device__ __forceinline__ uint32_t chunks_of(const Pieces& pieces) {
    uint32_t bits = 0;
    for (uint32_t c = 0; c < CHUNKS; c++) {
        bits |= (pieces.late <= CHUNKS ? c * pieces.late / CHUNKS : c) == pieces.mine ? 1u << c : 0;
    }
    return bits;
}

#ifdef __CUDACC__

// What the block has stored before is visible to who acquires the sum. What follows does not wait for `old`.
__device__ __forceinline__ uint32_t add_release(uint32_t* p, uint32_t v) {
    uint32_t old;
    asm volatile("atom.release.gpu.global.add.u32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(v) : "memory");
    return old;
}

__device__ __forceinline__ void add_relaxed(uint32_t* p, uint32_t v) {
    asm volatile("red.relaxed.gpu.global.add.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}

// Through the L2 alone: another multiprocessor wrote it.
__device__ __forceinline__ float4 load_l2(const float4* p) {
    float4 v;
    asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p) : "memory");
    return v;
}

// Where the sums of a tile's pieces lie, for one thread of a warp group: counters, then the slots [group][four floats][thread].
template <int FLOATS>
struct Place {
    void* workspace;
    const Pieces& pieces;
    uint32_t unit, units, group, groups;

    __device__ __forceinline__ uint32_t* counter() const {
        return static_cast<uint32_t*>(workspace) + (pieces.tile * units + unit) * groups + group;
    }

    __device__ __forceinline__ float4* slot(uint32_t piece) const {
        constexpr uint32_t COUNTER_BYTES = 64 << 10;
        return reinterpret_cast<float4*>(static_cast<uint8_t*>(workspace) + COUNTER_BYTES)
               + (((pieces.slot + piece) * units + unit) * groups + group) * (FLOATS / 4 * 128) + threadIdx.x % 128;
    }
};

// Where a tile's pieces seed: the first one's sums begin with the other's, so that nothing is left to do at the end. All 128 threads
// of the first piece's warp group call it before their first product; for the other join_pieces gives its sums away.
template <int FLOATS>
__device__ __forceinline__ void seed_piece(float (&sums)[FLOATS], const Pieces& pieces, void* workspace, uint32_t unit, uint32_t units, uint32_t group,
                                           uint32_t groups, int barrier) {
    const Place<FLOATS> place{workspace, pieces, unit, units, group, groups};
    if (threadIdx.x % 128 == 0) {
        while (load_acquire(place.counter()) == 0) {  // all chunks are given away at once
        }
        *place.counter() = 0;
    }
    named_barrier(barrier, 128);
    const float4* const from = place.slot(1);
#pragma unroll
    for (int i = 0; i < FLOATS / 4; i++) {
        const float4 v = load_l2(from + i * 128);
        sums[4 * i] = v.x;
        sums[4 * i + 1] = v.y;
        sums[4 * i + 2] = v.z;
        sums[4 * i + 3] = v.w;
    }
}

// Adds the sums of a tile's pieces, in the order of K, for a warp group whose threads hold FLOATS of them each. They go in chunks of
// CHUNK floats a thread. Returns the chunks whose sums are complete now, as bits, which the caller stores; the others are
// somebody else's. Not to be called where count is 1. All 128 threads call it, after griddepcontrol.wait.
//
//   workspace  the stream's: counters, zero before and after; and behind them the slots
//   slots      floats of all groups of a block are one slot: [group][chunk][four floats][thread]
//   unit       this block's number in its worker, of `units`; group, of `groups`
//   parked     shared memory for this group alone: CHUNK floats for each thread; exchange: 8 bytes more
//   barrier    a named barrier for it alone
template <int FLOATS, int CHUNK>
__device__ __forceinline__ uint32_t join_pieces(float (&sums)[FLOATS], const Pieces& pieces, uint32_t patience, void* workspace, uint32_t unit, uint32_t units,
                                                uint32_t group, uint32_t groups, float4* parked, uint32_t* exchange,
                                                int barrier) {
    static_assert(FLOATS % 4 == 0 && CHUNK % 4 == 0, "sums go four at a time");
    constexpr int CHUNKS = (FLOATS + CHUNK - 1) / CHUNK, FOURS = CHUNK / 4;
    constexpr uint32_t ALL = (1u << CHUNKS) - 1;
    static_assert(CHUNKS <= 4, "a counter has a byte for each chunk");
    const uint32_t thread = threadIdx.x % 128;
    const Place<FLOATS> place{workspace, pieces, unit, units, group, groups};
    uint32_t* const counter = place.counter();

    // One in the byte of each chunk.
    const auto ones = [](uint32_t bits) { return (bits & 1) | (bits & 2) << 7 | (bits & 4) << 14 | (bits & 8) << 21; };

    uint32_t wanted = chunks_of<CHUNKS>(pieces), give = ALL & ~wanted, mine = 0;
#pragma unroll 1
    for (;;) {
        float4* const to = place.slot(pieces.mine);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            if (give >> c & 1) {
#pragma unroll
                for (int i = 0; i < FOURS; i++) {
                    const int at = c * CHUNK + 4 * i;
                    if (at < FLOATS) {
                        to[at / 4 * 128] = float4{sums[at], sums[at + 1], sums[at + 2], sums[at + 3]};
                    }
                }
            }
        }
        named_barrier(barrier, 128);
        if (pieces.late == 1 && !wanted) {  // the first piece's worker waits for us, we for nothing
            if (thread == 0) {
                add_release(counter, ones(ALL));
            }
            return 0;
        }
        if (thread == 0) {
            uint32_t old = 0, complete = 0, ready = 0;
            // Of `bits`, the chunks that have been given away by all pieces but one.
            const auto full = [&](uint32_t bits, uint32_t count) {
                uint32_t is = 0;
#pragma unroll
                for (int c = 0; c < CHUNKS; c++) {
                    is |= (count >> 8 * c & 0xff) == pieces.count - 1 ? bits & 1u << c : 0;
                }
                return is;
            };
            if (give) {
                old = add_release(counter, ones(give));
            }
            for (uint32_t looks = 0; (ready = full(wanted, load_acquire(counter))) != wanted && (pieces.late == 1 || looks < patience); looks++) {
            }
            if (give) {
                complete = full(give, old);  // who was to finish these has not waited for us
                if (complete) {
                    __threadfence();  // it acquires what the others have released
                }
            }
            if (complete | ready) {
                add_relaxed(counter, 0u - (ones(complete) * pieces.count + ones(ready) * (pieces.count - 1)));
            }
            const uint32_t left = wanted & ~ready;
            complete |= ready;
            exchange[0] = complete;
            exchange[1] = left;
        }
        named_barrier(barrier, 128);
        mine |= exchange[0];
        give = exchange[1];
        wanted = 0;
        if (!give) {
            break;
        }
    }

    float4* const own = parked + thread;
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        if (mine >> c & 1) {
            if (pieces.mine > 0) {  // our turn comes later, and there are no registers for two
#pragma unroll
                for (int i = 0; i < FOURS; i++) {
                    const int at = c * CHUNK + 4 * i;
                    if (at < FLOATS) {
                        own[i * 128] = float4{sums[at], sums[at + 1], sums[at + 2], sums[at + 3]};
                    }
                }
            }
#pragma unroll 1
            for (uint32_t p = pieces.mine == 0; p < pieces.count; p++) {
                float4 v[FOURS];
                if (p == pieces.mine) {
#pragma unroll
                    for (int i = 0; i < FOURS; i++) {
                        v[i] = own[i * 128];
                    }
                } else {
                    const float4* const from = place.slot(p) + c * FOURS * 128;
#pragma unroll
                    for (int i = 0; i < FOURS; i++) {
                        if (c * CHUNK + 4 * i < FLOATS) {
                            v[i] = load_l2(from + i * 128);
                        }
                    }
                }
#pragma unroll
                for (int i = 0; i < FOURS; i++) {
                    const int at = c * CHUNK + 4 * i;
                    if (at < FLOATS) {
                        sums[at] = p == 0 ? v[i].x : __fadd_rn(sums[at], v[i].x);
                        sums[at + 1] = p == 0 ? v[i].y : __fadd_rn(sums[at + 1], v[i].y);
                        sums[at + 2] = p == 0 ? v[i].z : __fadd_rn(sums[at + 2], v[i].z);
                        sums[at + 3] = p == 0 ? v[i].w : __fadd_rn(sums[at + 3], v[i].w);
                    }
                }
            }
        }
    }
    named_barrier(barrier, 128);  // the caller may use the shared memory again
    return mine;
}

#endif

}  // namespace lowbit
