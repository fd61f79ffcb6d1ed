package io.lowbit.cpu;

import java.lang.foreign.MemorySegment;

/**
 * All memory of the process as one segment: an address is an offset into it.
 *
 * <p>The kernels read weights through it, not through the segments that own them. C2 knows the class, the bounds and the
 * life of a constant segment, so a load is one instruction; for a segment that was passed in it relies on a type profile that
 * all code in the process shares, and once other kinds of segments have been read it checks class and life at every load.
 * Only this package's kernels use it, on memory whose owner ({@link Panels}, {@link Scratch}) the running call keeps alive.
 */
final class Memory {
    static final MemorySegment ALL;

    /** Why there is no such segment, with the cure; null where there is. */
    static final String REFUSAL;

    static {
        MemorySegment all = MemorySegment.NULL;
        String refusal = null;
        try {
            all = all.reinterpret(Long.MAX_VALUE);
        } catch (IllegalCallerException e) {
            refusal = "scalar code: the JVM denies native access, which the vector kernels read weights with; start it with"
                    + " --enable-native-access=ALL-UNNAMED";
        }
        ALL = all;
        REFUSAL = refusal;
    }

    private Memory() {}
}
