package io.lowbit.checkpoint;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Q4_0, MXFP4 and NVFP4 apart and together again. Their blocks are scales followed by nibbles in halves: in a run of 32
 * (16 for NVFP4), element j is the low nibble of byte j, element j + half the high one.
 * <pre>
 * Q4_0   f16, 16 bytes       MXFP4  E8M0, 16 bytes       NVFP4  4 × E4M3, 4 × 8 bytes
 * </pre>
 */
final class GgufBlocks {
    private GgufBlocks() {}

    private static int headBytes(GgufType type) {
        return type == GgufType.Q4_0 ? 2 : type == GgufType.MXFP4 ? 1 : 4;
    }

    /** Elements whose nibbles are split between them. */
    private static int run(GgufType type) {
        return type == GgufType.NVFP4 ? 16 : 32;
    }

    /** Codes in the canonical order: even column in the low nibble. */
    static Tensor nibbles(Tensor rows, GgufType type, Arena arena) {
        long blocks = rows.data().byteSize() / type.bytes();
        int payload = type.elements() / 2;
        Tensor out = Tensor.allocate(arena, DType.U8, rows.dim(0), rows.dim(1) / type.bytes() * payload);
        int half = run(type) / 2;
        byte[] in = new byte[payload];
        byte[] to = new byte[payload];
        for (long b = 0; b < blocks; b++) {
            MemorySegment.copy(rows.data(), ValueLayout.JAVA_BYTE, b * type.bytes() + headBytes(type), in, 0, payload);
            for (int part = 0; part < payload; part += half) {
                for (int j = 0; j < half; j += 2) {
                    int first = in[part + j];
                    int second = in[part + j + 1];
                    to[part + j / 2] = (byte) (first & 15 | second << 4);
                    to[part + (half + j) / 2] = (byte) (first >>> 4 & 15 | second & 0xf0);
                }
            }
            MemorySegment.copy(to, 0, out.data(), ValueLayout.JAVA_BYTE, b * payload, payload);
        }
        return out;
    }

    /** Q4_0's scales. */
    static Tensor halves(Tensor rows, GgufType type, Arena arena) {
        long blocks = rows.data().byteSize() / type.bytes();
        Tensor out = Tensor.allocate(arena, DType.F16, rows.dim(0), rows.dim(1) / type.bytes());
        for (long b = 0; b < blocks; b++) {
            MemorySegment.copy(rows.data(), b * type.bytes(), out.data(), 2 * b, 2);
        }
        return out;
    }

    /** MXFP4's and NVFP4's scales. */
    static Tensor scaleBytes(Tensor rows, GgufType type, DType dtype, Arena arena) {
        long blocks = rows.data().byteSize() / type.bytes();
        int head = headBytes(type);
        Tensor out = Tensor.allocate(arena, dtype, rows.dim(0), rows.dim(1) / type.bytes() * head);
        for (long b = 0; b < blocks; b++) {
            MemorySegment.copy(rows.data(), b * type.bytes(), out.data(), head * b, head);
        }
        return out;
    }

    /** Rows of blocks out of codes and scales. */
    static Tensor blocks(QuantizedMatrix m, GgufType type, Arena arena) {
        long perRow = m.k() / type.elements();
        Tensor out = Tensor.allocate(arena, DType.U8, m.n(), perRow * type.bytes());
        int payload = type.elements() / 2;
        int half = run(type) / 2;
        int head = headBytes(type);
        byte[] in = new byte[payload];
        byte[] to = new byte[payload];
        for (long b = 0; b < m.n() * perRow; b++) {
            MemorySegment.copy(m.scales().data(), b * head, out.data(), b * type.bytes(), head);
            MemorySegment.copy(m.codes().data(), ValueLayout.JAVA_BYTE, b * payload, in, 0, payload);
            for (int part = 0; part < payload; part += half) {
                for (int j = 0; j < half; j += 2) {
                    int low = in[part + j / 2];
                    int high = in[part + (half + j) / 2];
                    to[part + j] = (byte) (low & 15 | high << 4);
                    to[part + j + 1] = (byte) (low >>> 4 & 15 | high & 0xf0);
                }
            }
            MemorySegment.copy(to, 0, out.data(), ValueLayout.JAVA_BYTE, b * type.bytes() + head, payload);
        }
        return out;
    }
}
