package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActOrder;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.NestedScales;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * 4-bit weights in records of 64 rows × 128 columns, in the order in which tensor cores take them; {@code records.cuh}
 * draws it. After the records lie, each from a multiple of 256 bytes on, an f32 scale for each row (INT4 with one scale for
 * a row), or the nested absmax and the nested map (bitsandbytes, doubly quantized). What is beyond N and K is zero bytes.
 *
 * <p>With act-order, columns lie sorted by group, as {@link ActOrder} sorts them, and after all else the original column of each,
 * I32, 0 from K to the end of the last record.
 */
public final class RecordLayout implements WeightLayout {
    /** The only one. */
    public static final RecordLayout INSTANCE = new RecordLayout();

    /** Rows of a record. */
    static final int BAND = 64;
    /** Columns of a record. */
    static final int SPAN = 128;

    private static final int CODE_BYTES = BAND * SPAN / 2;
    private static final int RECORD_ALIGNMENT = 64;
    private static final int LINE = 128;
    private static final long ALIGNMENT = 256;
    private static final int WORD_BITS = 32;
    /** The device sorts columns by counting, which takes K² steps. */
    private static final long MOST_SORTED = 1 << 17;
    private static final int SORT_THREADS = 256;

    // enum ScaleMode and enum Codebook of records.cuh
    static final int SCALE_F16 = 1;
    static final int SCALE_BF16 = 2;
    static final int SCALE_F32 = 4;
    static final int SCALE_E8M0 = 8;
    static final int SCALE_E4M3 = 16;
    static final int SCALE_NESTED = 32;
    private static final int CODEBOOK_SHIFT = 8;
    private static final int DIVIDED = 1 << 12;

    private RecordLayout() {}

    /** So many bytes of shared memory up to the end of a line of 128 bytes: {@code whole_lines} of the kernels. */
    static int wholeLines(int bytes) {
        return Math.ceilDiv(bytes, LINE) * LINE;
    }

    /**
     * Sizes of a matrix in records.
     *
     * @param bands of 64 rows
     * @param spans records of a band
     * @param groups scales of a row in a record; 0 where one f32 for each row lies after the records
     * @param scaleMode one of the constants of this class
     * @param scaleBytes of a scale in a record
     * @param zeros true where each scale has a zero point
     * @param rowScales f32 scales after the records
     * @param nestedAbsmax f32 values after the records
     * @param order original columns after all that, of act-order
     */
    record Sizes(long bands, long spans, int groups, int scaleMode, int scaleBytes, boolean zeros, long rowScales, long nestedAbsmax, long order) {
        static Sizes of(MatrixShape w) {
            long bands = Math.ceilDiv(w.n(), (long) BAND);
            long spans = Math.ceilDiv(w.k(), (long) SPAN);
            return switch (w.scheme()) {
                case Scheme.Int4 s -> {
                    boolean row = s.grouping().scaleCols(w.k()) == 1;
                    int groups = row ? s.symmetric() ? 0 : 1 : groups(((Grouping.PerGroup) s.grouping()).size());
                    int mode = s.scaleType() == DType.F32 ? SCALE_F32 : s.scaleType() == DType.F16 ? SCALE_F16 : SCALE_BF16;
                    yield new Sizes(bands, spans, groups, mode, mode == SCALE_F32 ? 4 : 2, !s.symmetric(), groups == 0 ? w.n() : 0, 0,
                            w.actOrder() ? spans * SPAN : 0);
                }
                case Scheme.Bnb4 s -> {
                    long nested = s.doubleQuant() ? Math.ceilDiv(Math.ceilDiv(w.n() * w.k(), (long) s.blockSize()), (long) NestedScales.BLOCK) : 0;
                    yield new Sizes(bands, spans, groups(s.blockSize()), s.doubleQuant() ? SCALE_NESTED : SCALE_F32, s.doubleQuant() ? 1 : 4, false,
                            0, nested, 0);
                }
                case Scheme.Mxfp4 _ -> new Sizes(bands, spans, groups(Scheme.Mxfp4.BLOCK), SCALE_E8M0, 1, false, 0, 0, 0);
                case Scheme.Nvfp4 _ -> new Sizes(bands, spans, groups(Scheme.Nvfp4.BLOCK), SCALE_E4M3, 1, false, 0, 0, 0);
                default -> throw new IllegalArgumentException(w + ": records hold 4-bit weights");
            };
        }

        /** Scales of a row in a record for groups of {@code size} columns. */
        private static int groups(int size) {
            return size >= SPAN ? 1 : SPAN / size;
        }

        int zeroOffset() {
            return CODE_BYTES + BAND * groups * scaleBytes;
        }

        int recordBytes() {
            return Math.ceilDiv(zeroOffset() + (zeros ? BAND * groups : 0), RECORD_ALIGNMENT) * RECORD_ALIGNMENT;
        }

        /** Of a record in shared memory: bulk copies to a place that is not the start of a line of 128 bytes take longer. */
        int placeBytes() {
            return wholeLines(recordBytes());
        }

        long recordsEnd() {
            return align(bands * spans * recordBytes());
        }

        long mapOffset() {
            return recordsEnd() + align(4 * nestedAbsmax);
        }

        long orderOffset() {
            return recordsEnd() + align(4 * rowScales);
        }

        long bytes() {
            return nestedAbsmax > 0 ? mapOffset() + 4 * 256 : order > 0 ? orderOffset() + 4 * order : recordsEnd() + 4 * rowScales;
        }

        private static long align(long bytes) {
            return Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT;
        }
    }

    @Override
    public String name() {
        return "records";
    }

    /**
     * True for 4-bit schemes whose groups are 32, 64 or a multiple of 128 columns and do not cross rows, or can be sorted so; nested
     * scales with rows of whole records.
     */
    @Override
    public boolean fits(MatrixShape w) {
        if (w.n() < 1 || w.k() < 1 || w.n() > Integer.MAX_VALUE - BAND || w.k() > Integer.MAX_VALUE - SPAN) {
            return false;
        }
        return switch (w.scheme()) {
            case Scheme.Int4 s -> (!w.actOrder() || w.columns() == MatrixShape.Columns.SORTABLE && w.k() <= MOST_SORTED) && (s.grouping().scaleCols(w.k()) == 1
                    || s.grouping() instanceof Grouping.PerGroup g && (g.size() == 32 || g.size() == 64 || g.size() % SPAN == 0));
            case Scheme.Bnb4 s -> w.k() % s.blockSize() == 0 && (!s.doubleQuant() || w.k() % SPAN == 0);
            case Scheme.Mxfp4 _, Scheme.Nvfp4 _ -> true;
            default -> false;
        };
    }

    /** {@inheritDoc} In that order a word of a record is four neighbours of one row and four of another. */
    @Override
    public boolean interleaved() {
        return true;
    }

    @Override
    public String suffix(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Int4 _ -> "int4_records";
            case Scheme.Bnb4 b -> b.codebook() == Scheme.Codebook.NF4 ? "nf4_records" : "fp4_records";
            case Scheme.Mxfp4 _, Scheme.Nvfp4 _ -> "e2m1_records";
            default -> throw new IllegalArgumentException(scheme.label() + ": records hold 4-bit weights");
        };
    }

    @Override
    public long bytes(MatrixShape w) {
        return Sizes.of(w).bytes();
    }

    @Override
    public long order(MatrixShape w, long address) {
        Sizes sizes = Sizes.of(w);
        return sizes.order > 0 ? address + sizes.orderOffset() : 0;
    }

    @Override
    public void pack(QuantizedMatrix w, MemorySegment out) {
        if (w.groups() == null) {
            pack(w, Sizes.of(MatrixShape.of(w)), out);
            return;
        }
        try (Arena arena = Arena.ofConfined()) {
            ActOrder sorted = ActOrder.of(w, arena);
            Sizes sizes = Sizes.of(MatrixShape.of(w));
            pack(sorted.matrix(), sizes, out);
            MemorySegment.copy(sorted.order(), 0, out, ValueLayout.JAVA_INT_UNALIGNED, sizes.orderOffset(), sorted.order().length);
        }
    }

    private static void pack(QuantizedMatrix w, Sizes sizes, MemorySegment out) {
        boolean table = w.scheme() instanceof Scheme.Bnb4;
        for (long row = 0; row < w.n(); row++) {
            for (long col = 0; col < w.k(); col++) {
                long word = record(sizes, row, col) + word(row, col);
                int bits = out.get(ValueLayout.JAVA_INT_UNALIGNED, word);
                out.set(ValueLayout.JAVA_INT_UNALIGNED, word, bits | code(w, row, col) << shift(table, row, col));
            }
            if (sizes.groups == 0) {
                out.set(ValueLayout.JAVA_FLOAT_UNALIGNED, sizes.recordsEnd() + 4 * row, w.scales().getFloat(w.scales().elements() == 1 ? 0 : row));
            } else {
                for (long col = 0; col < w.k(); col += SPAN / sizes.groups) {
                    packScale(w, sizes, row, col, out);
                }
            }
        }
        if (sizes.nestedAbsmax > 0) {
            MemorySegment.copy(w.nested().absmax().data(), 0, out, sizes.recordsEnd(), 4 * sizes.nestedAbsmax);
            MemorySegment.copy(w.nested().map().data(), 0, out, sizes.mapOffset(), 4 * 256);
        }
    }

    /** The first byte of the record of a weight. */
    private static long record(Sizes sizes, long row, long col) {
        return (row / BAND * sizes.spans + col / SPAN) * sizes.recordBytes();
    }

    /** The byte of a weight's word in its record. */
    private static long word(long row, long col) {
        long lane = row % 8 * 4 + col / 2 % 4;
        return col % SPAN / 64 * (CODE_BYTES / 2) + (row / 16 % 4 * 32 + lane) * 16 + col / 16 % 4 * 4;
    }

    /** The bit of a weight's code in its word. */
    private static int shift(boolean table, long row, long col) {
        int register = (int) (row / 8 % 2 + col / 8 % 2 * 2);
        int element = (int) (col % 2);
        return table ? 8 * register + 4 * element : 4 * register + WORD_BITS / 2 * element;
    }

    private static int code(QuantizedMatrix w, long row, long col) {
        if (w.scheme() instanceof Scheme.Bnb4) {
            long i = row * w.k() + col;
            int pair = w.codes().getByte(i / 2);
            return i % 2 == 0 ? pair >> 4 : pair & 15;
        }
        int pair = w.codes().getByte(row * Math.ceilDiv(w.k(), 2L) + col / 2);
        return col % 2 == 0 ? pair & 15 : pair >> 4;
    }

    /** The scale, and the zero point, of the group that begins at a column of a row. */
    private static void packScale(QuantizedMatrix w, Sizes sizes, long row, long col, MemorySegment out) {
        long at = col % SPAN * sizes.groups / SPAN * BAND + row / 16 % 4 * 16 + row % 8 * 2 + row / 8 % 2;
        long record = record(sizes, row, col);
        long to = record + CODE_BYTES + at * sizes.scaleBytes;
        MemorySegment from;
        long index;
        switch (w.scheme()) {
            case Scheme.Int4 s -> {
                from = w.scales().data();
                index = s.grouping().scaleIndex(row, col, w.k());
                if (sizes.zeros) {
                    long cols = s.grouping().scaleCols(w.k());
                    long group = index % cols;
                    int pair = w.zeros().getByte(index / cols * Math.ceilDiv(cols, 2L) + group / 2);
                    out.set(ValueLayout.JAVA_BYTE, record + sizes.zeroOffset() + at, (byte) (group % 2 == 0 ? pair & 15 : pair >> 4));
                }
            }
            case Scheme.Bnb4 s -> {
                from = s.doubleQuant() ? w.nested().codes().data() : w.scales().data();
                index = (row * w.k() + col) / s.blockSize();
            }
            default -> {
                from = w.scales().data();
                int width = SPAN / sizes.groups;
                index = row * Math.ceilDiv(w.k(), (long) width) + col / width;
            }
        }
        MemorySegment.copy(from, index * sizes.scaleBytes, out, to, sizes.scaleBytes);
    }

    @Override
    public void pack(Kernels kernels, Stream stream, MatrixShape w, MemorySegment canonical, long out) {
        String scheme = switch (w.scheme()) {
            case Scheme.Int4 _ -> "int4";
            case Scheme.Bnb4 _ -> "bnb4";
            default -> "e2m1";
        };
        Function function = kernels.function("w4_pack", "pack_records_" + scheme);
        Sizes sizes = Sizes.of(w);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment to = arena.allocate(MatrixArgument.BYTES, 8);
            describe(w, out, to);
            if (sizes.order > 0) {
                Function sort = kernels.function("w4_pack", "sort_columns");
                stream.arguments().struct(canonical).struct(to);
                stream.launch(sort, Math.ceilDiv(w.k(), (long) SORT_THREADS), 1, SORT_THREADS, 0);
            }
            stream.arguments().struct(canonical).struct(to);
            stream.launch(function, Math.min(sizes.bands * sizes.spans * (CODE_BYTES / 4 / 256), 1 << 16), 1, 256, 0);
        }
    }

    @Override
    public void describe(MatrixShape w, long address, MemorySegment matrix) {
        Sizes sizes = Sizes.of(w);
        int type = sizes.scaleMode;
        int blockShift = 0;
        if (w.scheme() instanceof Scheme.Bnb4 s) {
            type |= (s.codebook() == Scheme.Codebook.NF4 ? 0 : 1) << CODEBOOK_SHIFT;
            blockShift = Integer.numberOfTrailingZeros(s.blockSize());
        } else if (!(w.scheme() instanceof Scheme.Int4)) {
            type |= 2 << CODEBOOK_SHIFT | (w.divided() ? DIVIDED : 0);
        }
        matrix.set(ValueLayout.JAVA_LONG, 0, address);
        matrix.set(ValueLayout.JAVA_LONG, 8, sizes.rowScales > 0 ? address + sizes.recordsEnd() : 0);
        matrix.set(ValueLayout.JAVA_LONG, 16, sizes.zeros ? address : 0);
        matrix.set(ValueLayout.JAVA_LONG, 24, 0);
        matrix.set(ValueLayout.JAVA_LONG, 32, sizes.nestedAbsmax > 0 ? address + sizes.recordsEnd() : 0);
        matrix.set(ValueLayout.JAVA_LONG, 40, sizes.nestedAbsmax > 0 ? address + sizes.mapOffset() : order(w, address));
        matrix.set(ValueLayout.JAVA_LONG, 48, w.n());
        matrix.set(ValueLayout.JAVA_LONG, 56, w.k());
        matrix.set(ValueLayout.JAVA_LONG, 64, sizes.spans);
        matrix.set(ValueLayout.JAVA_INT, 72, sizes.groups);
        matrix.set(ValueLayout.JAVA_INT, 76, sizes.recordBytes());
        matrix.set(ValueLayout.JAVA_INT, 80, type);
        matrix.set(ValueLayout.JAVA_INT, 84, blockShift);
        matrix.set(ValueLayout.JAVA_FLOAT, 88, w.nestedOffset());
        matrix.set(ValueLayout.JAVA_FLOAT, 92, w.tensorScale());
    }
}
