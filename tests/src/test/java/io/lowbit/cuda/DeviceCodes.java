package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Fp8Activations;
import io.lowbit.format.E8M0;
import io.lowbit.format.Float8;
import io.lowbit.format.Overflow;
import io.lowbit.quant.ActivationScaling;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Quantized activations {@code [m, k]} read back from a device, and what the CPU's definition makes of the same values. */
record DeviceCodes(long m, long k, ActivationScaling scaling, boolean interleaved, MemorySegment bytes) {
    static DeviceCodes download(Arena arena, Stream stream, DeviceMemory activations, long m, long k, ActivationScaling scaling, boolean interleaved) {
        MemorySegment bytes = arena.allocate(Fp8Activations.bytes(m, k), 16);
        stream.download(bytes, activations.address(), bytes.byteSize());
        stream.synchronize();
        return new DeviceCodes(m, k, scaling, interleaved, bytes);
    }

    int code(long row, long col) {
        long at = interleaved ? col / 16 * 16 + col % 8 * 2 + col % 16 / 8 : col;
        return bytes.get(ValueLayout.JAVA_BYTE, row * Fp8Activations.pitch(k) + at) & 0xff;
    }

    float scale(long row, long col) {
        if (scaling.mx()) {
            long index = (col / 128 * Fp8Activations.scaleCol(scaling, m) + row) * 4 + col % 128 / 32;
            return Float.intBitsToFloat(bytes.get(ValueLayout.JAVA_SHORT, Fp8Activations.scalesOffset(m, k) + 2 * index) << 16);
        }
        long index = row * Fp8Activations.scaleRow(scaling) + col / 128 * Fp8Activations.scaleCol(scaling, m);
        return bytes.get(ValueLayout.JAVA_FLOAT, Fp8Activations.scalesOffset(m, k) + 4 * index);
    }

    /** What the code counts as. */
    double value(long row, long col) {
        return (double) scale(row, col) * (scaling.fp8() ? format(scaling).decode(code(row, col)) : (byte) code(row, col));
    }

    static Float8 format(ActivationScaling scaling) {
        return scaling.e5m2() ? Float8.E5M2 : Float8.E4M3;
    }

    /** Fails where codes, zeros beyond K or scales are not those of {@code values}, row by row, bit for bit. */
    void assertQuantized(String what, float[] values) {
        float first = 0;
        for (int row = 0; row < m; row++) {
            float s = 0;
            for (int col = 0; col < k; col++) {
                // Only at the start of what shares a scale: the value before holds for the rest.
                s = col == 0 && (row == 0 || !scaling.tensor()) || width() < k && col % width() == 0 ? expectedScale(values, row, col) : col == 0 ? first : s;
                first = row == 0 && col == 0 ? s : first;
                assertEquals(Float.floatToRawIntBits(s), Float.floatToRawIntBits(scale(row, col)),
                        what + " scale of [" + row + ", " + col + "]: expected " + s + ", got " + scale(row, col));
                float v = values[row * (int) k + col];
                int expected = scaling.fp8() ? format(scaling).encode(v / s, Overflow.SATURATE)
                        : Float.isNaN(v) ? 0 : (int) Math.clamp(Math.rint(v / s), -127, 127) & 0xff;
                if (expected != code(row, col)) {
                    fail(what + " code of [" + row + ", " + col + "] = " + v + " / " + s + ": expected " + expected + ", got " + code(row, col));
                }
            }
            for (long col = k; col < Fp8Activations.pitch(k); col++) {
                assertEquals(0, code(row, col), what + " beyond K, row " + row);
            }
        }
    }

    /** Neighbours of a row that share a scale. */
    private int width() {
        return scaling.mx() ? 32 : scaling.blocks() ? 128 : Math.max(1, (int) k);
    }

    /** Of whatever shares the scale of an element. */
    private float expectedScale(float[] values, int row, int col) {
        int firstRow = scaling.tensor() ? 0 : row;
        int lastRow = scaling.tensor() ? (int) m : row + 1;
        int firstCol = col / width() * width();
        int lastCol = (int) Math.min(k, firstCol + width());
        float amax = 0;
        for (int r = firstRow; r < lastRow; r++) {
            for (int c = firstCol; c < lastCol; c++) {
                float a = Math.abs(values[r * (int) k + c]);
                amax = Float.isNaN(a) ? amax : Math.max(amax, a);
            }
        }
        float s = amax == 0 ? 1 : Math.max(amax / (scaling.fp8() ? format(scaling).max() : 127f), Float.MIN_NORMAL);
        // An infinite scale stays one: E8M0 knows no infinity, the f32 that the kernels multiply by does.
        return (scaling == ActivationScaling.BLOCK128_UE8M0 || scaling.mx()) && s < Float.POSITIVE_INFINITY
                ? E8M0.decode(E8M0.encode(s, E8M0.Rounding.TOWARD_POSITIVE, Overflow.NONSATURATING)) : s;
    }
}
