package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.simd.Simd;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("widths")
class CpuLimitsTest {
    private static List<LimitLoops> loops() {
        List<LimitLoops> all = new ArrayList<>(List.of(new ScalarLimitLoops()));
        if (Simd.vectorized()) {
            all.add(new VectorLimitLoops());
        }
        return all;
    }

    @Test
    void readLoopsTouchEveryByteOfEveryStreamAndNoOther() {
        int bytes = 1024;
        int stride = 4096;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocate(4L * stride);
            for (LimitLoops loop : loops()) {
                for (int streams : LimitLoops.STREAMS) {
                    for (int at = 0; at < data.byteSize(); at += 8) {
                        data.set(ValueLayout.JAVA_LONG, at, 0x0101010101010101L);
                        boolean inside = at % stride >= 64 && at % stride < 64 + bytes && at / stride < streams;
                        long seen = loop.read(data, 64, stride, streams, bytes);
                        assertEquals(inside, seen != 0, loop.name() + ", " + streams + " streams, byte " + at);
                        data.set(ValueLayout.JAVA_LONG, at, 0L);
                    }
                }
            }
        }
    }

    @Test
    void everyFusedMultiplyAddThatIsCountedIsDone() {
        for (LimitLoops loop : loops()) {
            // each chain tends to 1 in each lane, and one lane of one chain is two operations an iteration
            assertEquals(loop.flopsPerIteration() / 2f, loop.fma(200), loop.name());
            assertNotEquals(loop.fma(1), loop.fma(2), loop.name());
        }
    }

    @Test
    void measuresWithTheThreadsAsked() {
        SetSizes small = new SetSizes(8 << 20, 4 << 20, 1 << 20, 1 << 20);
        try (Limits limits = new CpuLimits(2, small)) {
            assertTrue(limits.readBandwidth(Regime.DRAM, small.dramBytes()) > 0);
            assertTrue(limits.readBandwidth(Regime.L3, 300_000) > 0);
            assertTrue(limits.flops() > 0);
            assertTrue(limits.method().contains("2 threads"), limits.method());
            assertThrows(IllegalArgumentException.class, () -> limits.readBandwidth(Regime.DRAM, 9 << 20));
        }
    }

    @Test
    void choosesTheLoopsThatTheKernelsAreAllowed() {
        assertEquals(Simd.vectorized() ? VectorLimitLoops.class : ScalarLimitLoops.class, LimitLoops.choose().getClass());
        assertTrue(LimitLoops.choose().name().contains(Simd.vectorized() ? Simd.width() + "-bit" : "scalar"), LimitLoops.choose().name());
    }
}
