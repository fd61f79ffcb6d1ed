package io.lowbit.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import io.lowbit.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Comparison of memory by bits. */
public final class Bitwise {
    private Bitwise() {}

    /** Same type, shape and bytes. */
    public static void assertSame(Tensor expected, Tensor actual, String what) {
        assertEquals(expected.dtype(), actual.dtype(), what);
        assertEquals(expected.shape(), actual.shape(), what);
        assertSameBytes(expected, actual, what);
    }

    /** Same bytes, whatever the shape. */
    public static void assertSameBytes(Tensor expected, Tensor actual, String what) {
        assertEquals(expected.data().byteSize(), actual.data().byteSize(), what + ": bytes");
        long at = expected.data().mismatch(actual.data());
        if (at >= 0) {
            fail(what + ": byte " + at + " of " + expected.data().byteSize() + " differs: expected " + hex(expected.data(), at) + ", got "
                    + hex(actual.data(), at));
        }
    }

    /** All parts of two quantized matrices. */
    public static void assertSame(QuantizedMatrix expected, QuantizedMatrix actual, String what) {
        assertEquals(expected.scheme(), actual.scheme(), what);
        assertSame(expected.codes(), actual.codes(), what + ": codes");
        assertEquals(expected.scales() == null, actual.scales() == null, what);
        if (expected.scales() != null) {
            assertSame(expected.scales(), actual.scales(), what + ": scales");
        }
        if (expected.zeros() != null) {
            assertSame(expected.zeros(), actual.zeros(), what + ": zeros");
        }
        if (expected.nested() != null) {
            assertSame(expected.nested().codes(), actual.nested().codes(), what + ": absmax codes");
            assertSame(expected.nested().absmax(), actual.nested().absmax(), what + ": nested absmax");
            assertEquals(Float.floatToRawIntBits(expected.nested().offset()), Float.floatToRawIntBits(actual.nested().offset()), what);
        }
        assertEquals(Float.floatToRawIntBits(expected.tensorScale()), Float.floatToRawIntBits(actual.tensorScale()), what);
    }

    private static String hex(MemorySegment s, long at) {
        return String.format("%02x", s.get(ValueLayout.JAVA_BYTE, at));
    }
}
