package io.lowbit.cli.bench;

import io.lowbit.simd.Simd;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** {@link LimitLoops} where the Vector API is refused: what scalar Java can reach. */
final class ScalarLimitLoops implements LimitLoops {
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;

    @Override
    public long read(MemorySegment data, long at, long stride, int streams, int bytes) {
        return switch (streams) {
            case 1 -> read(data.asSlice(at, bytes), bytes);
            case 2 -> read(data.asSlice(at, bytes), data.asSlice(at + stride, bytes), bytes);
            case 4 -> read(data.asSlice(at, bytes), data.asSlice(at + stride, bytes), bytes)
                    + read(data.asSlice(at + 2 * stride, bytes), data.asSlice(at + 3 * stride, bytes), bytes);
            default -> throw new IllegalArgumentException("streams " + streams + ": expected 1, 2 or 4");
        };
    }

    private static long read(MemorySegment a, int bytes) {
        long s0 = 0;
        long s1 = 0;
        for (int i = 0; i < bytes; i += 16) {
            s0 += a.get(LONG, i);
            s1 += a.get(LONG, i + 8);
        }
        return s0 + s1;
    }

    private static long read(MemorySegment a, MemorySegment b, int bytes) {
        long s0 = 0;
        long s1 = 0;
        for (int i = 0; i < bytes; i += 8) {
            s0 += a.get(LONG, i);
            s1 += b.get(LONG, i);
        }
        return s0 + s1;
    }

    @Override
    public float fma(int iterations) {
        float a0 = 2;
        float a1 = 3;
        float a2 = 4;
        float a3 = 5;
        float a4 = 6;
        float a5 = 7;
        float a6 = 8;
        float a7 = 9;
        for (int i = 0; i < iterations; i++) {
            a0 = Math.fma(a0, 0.5f, 0.5f);
            a1 = Math.fma(a1, 0.5f, 0.5f);
            a2 = Math.fma(a2, 0.5f, 0.5f);
            a3 = Math.fma(a3, 0.5f, 0.5f);
            a4 = Math.fma(a4, 0.5f, 0.5f);
            a5 = Math.fma(a5, 0.5f, 0.5f);
            a6 = Math.fma(a6, 0.5f, 0.5f);
            a7 = Math.fma(a7, 0.5f, 0.5f);
        }
        return a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
    }

    @Override
    public int flopsPerIteration() {
        return 16;
    }

    @Override
    public String name() {
        return Simd.reason();
    }
}
