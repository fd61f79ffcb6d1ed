// How a warp tells the producer of a ring that it has read a stage.
#pragma once
#include "ptx.cuh"

namespace lowbit {

// Arrivals of a warp that a barrier counts. One lane arrives for all, after the others have come as far; but
// compute-sanitizer's racecheck sees an order only between threads that arrive and wait themselves. For it alone
// (build.sh --racecheck) each lane arrives.
#ifdef LOWBIT_RACECHECK
constexpr int WARP_ARRIVALS = 32;
#else
constexpr int WARP_ARRIVALS = 1;
#endif

// Where `really`, and without a branch.
__device__ __forceinline__ void warp_arrive(uint32_t barrier, int lane, bool really = true) {
    __syncwarp();
    mbarrier_arrive_if(barrier, really && (WARP_ARRIVALS == 32 || lane == 0));
}

// The same at the barriers at this place in the cluster's blocks first … first + BLOCKS − 1. No fence at cluster scope
// (release.cluster costs more than a stage): what such a pipeline hands over is written by the copy engine and read by the
// tensor cores.
template <int BLOCKS>
__device__ __forceinline__ void warp_arrive_at(uint32_t barrier, uint32_t first, int lane, bool really = true) {
    __syncwarp();
    if (WARP_ARRIVALS == 32) {
#pragma unroll
        for (int i = 0; i < BLOCKS; i++) {
            mbarrier_arrive_at_if(barrier, first + i, really);
        }
    } else {
        mbarrier_arrive_at_if(barrier, first + lane % BLOCKS, really && lane < BLOCKS);
    }
}

}  // namespace lowbit
