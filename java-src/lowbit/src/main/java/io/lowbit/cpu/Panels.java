package io.lowbit.cpu;

import io.lowbit.quant.QuantizedMatrix;
import java.lang.foreign.MemorySegment;

/**
 * A weight matrix in the kernels' order.
 *
 * <p>A panel is 16 output rows; vector lane = row, so a product needs no horizontal sum and the group scale is one
 * vector operand. A panel is a run of 64-byte blocks, one 32-bit word a row:
 * <pre>
 * kind      columns a block   word of a row
 * INT4      8                 column j in bits 4j..4j+3, unsigned
 * LUT4      8                 the same, an index into a table of 16 floats: symmetric INT4 too where a vector holds the table
 * FLOAT8    4                 column j in bits 8j..8j+7
 * FLOAT16   2                 column j in bits 16j..16j+15
 * FLOAT32   1                 the float
 * ROWS      32                none: rows in the scheme's canonical layout, decoded tile by tile by scalar code
 * </pre>
 * Groups are padded to whole blocks (x is padded with zeros in the same places), the last one only as far as it goes.
 *
 * <p>Scales of a panel are 64-byte lines too: word of a row = one f32, two 16-bit or four 8-bit scales of neighbouring
 * groups, lowest group in the lowest bits. Zero points: eight groups a word. Kernels read a stored float by shifting it
 * to the top of its word, then {@link FloatField}.
 */
final class Panels {
    /** Output rows of a panel: the lanes of the widest vector. */
    static final int ROWS = 16;
    /** Bytes of a block: one word for each row. */
    static final int BLOCK_BYTES = 4 * ROWS;

    /** How a word is read. */
    enum Kind {
        INT4(8),
        LUT4(8),
        FLOAT8(4),
        FLOAT16(2),
        FLOAT32(1),
        ROWS(32);

        /** Columns in a block. */
        final int columns;

        Kind(int columns) {
            this.columns = columns;
        }
    }

    /**
     * A small float, held in the top bits of a word, becomes f32 by: arithmetic shift right, mask, multiply. The
     * multiplication moves the exponent to f32's bias and makes subnormals normal; it is exact.
     */
    enum FloatField {
        F32(32, 0, -1, 0),
        BF16(16, 0, 0xffff0000, 0),
        F16(16, 3, 0x8fffe000, 112),
        E4M3(8, 4, 0x87f00000, 120),
        E5M2(8, 3, 0x8fe00000, 112),
        /** Codes 1 to 254: 0 is 2^-127, an f32 subnormal, and 255 is NaN. */
        E8M0(8, 1, 0x7f800000, 0);

        final int bits;
        final int shift;
        final int mask;
        final float factor;

        FloatField(int bits, int shift, int mask, int exponent) {
            this.bits = bits;
            this.shift = shift;
            this.mask = mask;
            this.factor = Math.scalb(1f, exponent);
        }
    }

    final Kind kind;
    /** How FLOAT8 and FLOAT16 codes are read. */
    final FloatField code;
    /** Table of LUT4. */
    final float[] table;
    /** The table twice over as bfloat16, where its values are such numbers and vectors have 32 lanes of 16 bits; else null. */
    final short[] halves;
    final long n;
    final int k;
    final int panels;

    /** Columns of a group; K when a row has one scale or none. */
    final int groupColumns;
    final int groups;
    /** Blocks of a whole group. */
    final int groupBlocks;
    /** Blocks of a panel. */
    final int blocks;

    /** How scales are read; null for dense weights and for {@link #flat} ones. */
    final FloatField scale;
    /** Factor of {@link #scale}, times NVFP4's scale of the matrix. */
    final float scaleFactor;
    final int scaleWordShift;

    /**
     * bitsandbytes blocks that do not end with the rows: absmax of all blocks as f32, in the order of the matrix;
     * null elsewhere.
     */
    final MemorySegment flat;
    final int flatBlock;

    final MemorySegment codes;
    /** Address of the codes, as of {@link #scalesAt} and {@link #zerosAt}: kernels read through {@link Memory}. */
    final long codesAt;
    final long panelBytes;
    final MemorySegment scales;
    final long scalesAt;
    final long scalePanelBytes;
    /** INT4 only. Symmetric matrices have one line of eights for all; its strides are 0. */
    final MemorySegment zeros;
    final long zerosAt;
    final long zeroPanelBytes;
    final int zeroLineBytes;

    Panels(Repack r) {
        kind = r.kind;
        code = r.code;
        table = r.table;
        halves = halves(table);
        n = r.n;
        k = r.k;
        panels = r.panels;
        groupColumns = r.groupColumns;
        groups = r.groups;
        groupBlocks = r.groupBlocks;
        blocks = r.blocks;
        scale = r.scale;
        scaleFactor = r.scaleFactor;
        scaleWordShift = r.scaleWordShift;
        flat = r.flat;
        flatBlock = r.flatBlock;
        codes = r.codes;
        codesAt = address(codes);
        panelBytes = r.panelBytes;
        scales = r.scales;
        scalesAt = address(scales);
        scalePanelBytes = r.scalePanelBytes;
        zeros = r.zeros;
        zerosAt = address(zeros);
        zeroPanelBytes = r.zeroPanelBytes;
        zeroLineBytes = r.zeroLineBytes;
        rows = r.rows;
    }

    /** The matrix itself, for {@link Kind#ROWS}; null elsewhere. */
    final QuantizedMatrix rows;

    /** Columns of the padded row that x is packed into. */
    int paddedColumns() {
        return blocks * kind.columns;
    }

    /** Bytes of all parts. */
    long bytes() {
        return rows != null ? rows.bytes() : codes.byteSize() + size(scales) + size(zeros) + size(flat);
    }

    private static short[] halves(float[] table) {
        if (table == null || Fields.LANES != ROWS) {
            return null;
        }
        short[] halves = new short[2 * table.length];
        for (int i = 0; i < halves.length; i++) {
            int bits = Float.floatToRawIntBits(table[i % table.length]);
            if ((bits & 0xffff) != 0) {
                return null;
            }
            halves[i] = (short) (bits >>> 16);
        }
        return halves;
    }

    private static long address(MemorySegment s) {
        return s == null ? 0 : s.address();
    }

    private static long size(MemorySegment s) {
        return s == null ? 0 : s.byteSize();
    }
}
