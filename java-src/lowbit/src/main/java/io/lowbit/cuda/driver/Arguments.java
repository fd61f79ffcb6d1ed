package io.lowbit.cuda.driver;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** The arguments of one kernel launch, in order. The driver copies them, so one list serves launch after launch. */
public final class Arguments {
    private static final int MOST = 32;
    private static final int MAPS = 4;

    private final MemorySegment values;
    private final MemorySegment pointers;
    private final TensorMap[] maps = new TensorMap[MAPS];
    private int count;

    Arguments(Arena arena) {
        values = arena.allocate(8L * MOST, 8);
        pointers = arena.allocate(8L * MOST, 8);
        for (int i = 0; i < MAPS; i++) {
            maps[i] = new TensorMap(arena);
        }
    }

    Arguments clear() {
        count = 0;
        return this;
    }

    MemorySegment pointers() {
        return pointers;
    }

    /** A structure by value: the kernel's own layout, in native memory that lives until the launch has returned. */
    public Arguments struct(MemorySegment bytes) {
        pointers.set(ValueLayout.JAVA_LONG, 8L * count++, bytes.address());
        return this;
    }

    /** A tensor map by value, as it is now. */
    public Arguments struct(TensorMap map) {
        return struct(map.segment());
    }

    /**
     * One of the stream's own tensor maps, to be filled and passed in this launch: for operands whose address changes from
     * call to call.
     *
     * @param index 0 to 3
     */
    public TensorMap map(int index) {
        return maps[index];
    }

    /** A device pointer or a 64-bit integer. */
    public Arguments int64(long value) {
        values.set(ValueLayout.JAVA_LONG, 8L * count, value);
        pointers.set(ValueLayout.JAVA_LONG, 8L * count, values.address() + 8L * count);
        count++;
        return this;
    }

    /** A 32-bit integer. */
    public Arguments int32(int value) {
        return int64(value & 0xffffffffL);
    }

    /** A 32-bit float. */
    public Arguments float32(float value) {
        return int32(Float.floatToRawIntBits(value));
    }
}
