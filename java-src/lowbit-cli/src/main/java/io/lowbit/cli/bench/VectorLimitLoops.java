package io.lowbit.cli.bench;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import io.lowbit.simd.Simd;
import io.lowbit.simd.Species;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** {@link LimitLoops} with the Vector API at the width that {@link Simd} chose. */
final class VectorLimitLoops implements LimitLoops {
    private static final VectorSpecies<Integer> INT = Species.INT;
    private static final VectorSpecies<Float> FLOAT = Species.FLOAT;
    private static final int V = Species.LANES * Integer.BYTES;
    /** Enough to hide a latency of 4 cycles on two units, few enough for 16 registers. */
    private static final int CHAINS = 12;

    @Override
    public long read(MemorySegment data, long at, long stride, int streams, int bytes) {
        data.asSlice(at, (streams - 1) * stride + bytes);
        long address = data.address() + at;
        return switch (streams) {
            case 1 -> read1(address, bytes);
            case 2 -> read2(address, stride, bytes);
            case 4 -> read4(address, stride, bytes);
            default -> throw new IllegalArgumentException("streams " + streams + ": expected 1, 2 or 4");
        };
    }

    /**
     * A segment whose class the compiler knows without a profile. The profile of vector loads is shared by all code in
     * the process: once kernels have loaded from other kinds of segments, loops over a segment that was passed in fall
     * to a twentieth of their speed.
     */
    private static MemorySegment at(long address, int bytes) {
        return MemorySegment.ofAddress(address).reinterpret(bytes);
    }

    private static int read1(long address, int bytes) {
        MemorySegment a = at(address, bytes);
        IntVector s0 = IntVector.zero(INT);
        IntVector s1 = s0;
        IntVector s2 = s0;
        IntVector s3 = s0;
        for (int i = 0; i < bytes; i += 4 * V) {
            s0 = s0.or(IntVector.fromMemorySegment(INT, a, i, LITTLE_ENDIAN));
            s1 = s1.or(IntVector.fromMemorySegment(INT, a, i + V, LITTLE_ENDIAN));
            s2 = s2.or(IntVector.fromMemorySegment(INT, a, i + 2 * V, LITTLE_ENDIAN));
            s3 = s3.or(IntVector.fromMemorySegment(INT, a, i + 3 * V, LITTLE_ENDIAN));
        }
        return s0.or(s1).or(s2.or(s3)).reduceLanes(VectorOperators.OR);
    }

    private static int read2(long address, long stride, int bytes) {
        MemorySegment a = at(address, bytes);
        MemorySegment b = at(address + stride, bytes);
        IntVector s0 = IntVector.zero(INT);
        IntVector s1 = s0;
        IntVector s2 = s0;
        IntVector s3 = s0;
        for (int i = 0; i < bytes; i += 2 * V) {
            s0 = s0.or(IntVector.fromMemorySegment(INT, a, i, LITTLE_ENDIAN));
            s1 = s1.or(IntVector.fromMemorySegment(INT, b, i, LITTLE_ENDIAN));
            s2 = s2.or(IntVector.fromMemorySegment(INT, a, i + V, LITTLE_ENDIAN));
            s3 = s3.or(IntVector.fromMemorySegment(INT, b, i + V, LITTLE_ENDIAN));
        }
        return s0.or(s1).or(s2.or(s3)).reduceLanes(VectorOperators.OR);
    }

    private static int read4(long address, long stride, int bytes) {
        MemorySegment a = at(address, bytes);
        MemorySegment b = at(address + stride, bytes);
        MemorySegment c = at(address + 2 * stride, bytes);
        MemorySegment d = at(address + 3 * stride, bytes);
        IntVector s0 = IntVector.zero(INT);
        IntVector s1 = s0;
        IntVector s2 = s0;
        IntVector s3 = s0;
        for (int i = 0; i < bytes; i += V) {
            s0 = s0.or(IntVector.fromMemorySegment(INT, a, i, LITTLE_ENDIAN));
            s1 = s1.or(IntVector.fromMemorySegment(INT, b, i, LITTLE_ENDIAN));
            s2 = s2.or(IntVector.fromMemorySegment(INT, c, i, LITTLE_ENDIAN));
            s3 = s3.or(IntVector.fromMemorySegment(INT, d, i, LITTLE_ENDIAN));
        }
        return s0.or(s1).or(s2.or(s3)).reduceLanes(VectorOperators.OR);
    }

    /** Each chain tends to 1, so it meets neither overflow nor subnormal numbers. */
    @Override
    public float fma(int iterations) {
        FloatVector m = FloatVector.broadcast(FLOAT, 0.5f);
        FloatVector c = FloatVector.broadcast(FLOAT, 0.5f);
        FloatVector a0 = FloatVector.broadcast(FLOAT, 2f);
        FloatVector a1 = FloatVector.broadcast(FLOAT, 3f);
        FloatVector a2 = FloatVector.broadcast(FLOAT, 4f);
        FloatVector a3 = FloatVector.broadcast(FLOAT, 5f);
        FloatVector a4 = FloatVector.broadcast(FLOAT, 6f);
        FloatVector a5 = FloatVector.broadcast(FLOAT, 7f);
        FloatVector a6 = FloatVector.broadcast(FLOAT, 8f);
        FloatVector a7 = FloatVector.broadcast(FLOAT, 9f);
        FloatVector a8 = FloatVector.broadcast(FLOAT, 10f);
        FloatVector a9 = FloatVector.broadcast(FLOAT, 11f);
        FloatVector a10 = FloatVector.broadcast(FLOAT, 12f);
        FloatVector a11 = FloatVector.broadcast(FLOAT, 13f);
        for (int i = 0; i < iterations; i++) {
            a0 = a0.fma(m, c);
            a1 = a1.fma(m, c);
            a2 = a2.fma(m, c);
            a3 = a3.fma(m, c);
            a4 = a4.fma(m, c);
            a5 = a5.fma(m, c);
            a6 = a6.fma(m, c);
            a7 = a7.fma(m, c);
            a8 = a8.fma(m, c);
            a9 = a9.fma(m, c);
            a10 = a10.fma(m, c);
            a11 = a11.fma(m, c);
        }
        return a0.add(a1).add(a2).add(a3).add(a4).add(a5).add(a6).add(a7).add(a8).add(a9).add(a10).add(a11)
                .reduceLanes(VectorOperators.ADD);
    }

    @Override
    public int flopsPerIteration() {
        return 2 * CHAINS * Species.LANES;
    }

    @Override
    public String name() {
        return Simd.width() + "-bit Vector API";
    }
}
