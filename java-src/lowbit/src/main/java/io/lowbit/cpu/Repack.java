package io.lowbit.cpu;

import io.lowbit.cpu.Panels.FloatField;
import io.lowbit.cpu.Panels.Kind;
import io.lowbit.format.BnbFp4;
import io.lowbit.format.E2M1;
import io.lowbit.format.Nf4;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Half;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.function.IntToDoubleFunction;

/** Brings a matrix of any scheme into {@link Panels}, once, at load. */
final class Repack {
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    final QuantizedMatrix source;
    Kind kind;
    FloatField code;
    float[] table;
    final long n;
    final int k;
    final int panels;
    int groupColumns;
    int groups;
    int groupBlocks;
    int blocks;
    FloatField scale;
    float scaleFactor;
    int scaleWordShift;
    MemorySegment flat;
    int flatBlock;
    MemorySegment codes;
    long panelBytes;
    MemorySegment scales;
    long scalePanelBytes;
    MemorySegment zeros;
    long zeroPanelBytes;
    int zeroLineBytes;

    /** The words are f32 values of the matrix rather than its codes. */
    private boolean values;
    /** Kept as it is: {@link Kind#ROWS}. */
    QuantizedMatrix rows;

    private Repack(QuantizedMatrix source) {
        this.source = source;
        this.n = source.n();
        this.k = Math.toIntExact(source.k());
        this.panels = Math.toIntExact(Math.ceilDiv(n, (long) Panels.ROWS));
    }

    static Panels pack(QuantizedMatrix source, Arena arena, WorkerPool pool) {
        Repack r = new Repack(source);
        r.plan();
        if (r.kind == Kind.ROWS) {
            r.rows = ScalarLinear.copy(source, arena);
            return new Panels(r);
        }
        r.allocate(arena);
        boolean shared = pool.anyWorker() == null || source.codes().data().isAccessibleBy(pool.anyWorker());
        int perChunk = Math.max(1, Math.ceilDiv(r.panels, WorkerPool.MAX_CHUNKS));
        int chunks = Math.ceilDiv(r.panels, perChunk);
        WorkerPool.Job job = (chunk, _) -> r.panels(chunk * perChunk, Math.min(r.panels, (chunk + 1) * perChunk));
        if (shared) {
            pool.run(job, chunks);
        } else {
            for (int i = 0; i < chunks; i++) {
                job.run(i, 0);
            }
        }
        return new Panels(r);
    }

    private void plan() {
        groupColumns = k;
        switch (source.scheme()) {
            case Scheme.Dense s -> dense(s.dtype());
            case Scheme.Int8 _, Scheme.Ggml _ -> kind = Kind.ROWS;
            case Scheme.Int4 s -> {
                // A look-up takes fewer steps than the arithmetic, where the table fits one vector.
                kind = s.symmetric() && Fields.LANES == Panels.ROWS ? Kind.LUT4 : Kind.INT4;
                table = kind == Kind.LUT4 ? table(code -> code - 8) : null;
                groupColumns = s.grouping() instanceof Grouping.PerGroup g ? Math.min(g.size(), Math.max(1, k)) : k;
                scale = switch (s.scaleType()) {
                    case F16 -> finiteHalves(source.scales()) ? FloatField.F16 : FloatField.F32;
                    case BF16 -> FloatField.BF16;
                    default -> FloatField.F32;
                };
            }
            case Scheme.Bnb4 s -> {
                kind = Kind.LUT4;
                table = table(s.codebook() == Scheme.Codebook.NF4 ? Nf4::decode : BnbFp4::decode);
                if (k > 0 && k % s.blockSize() == 0) {
                    groupColumns = s.blockSize();
                    scale = FloatField.F32;
                } else if (k > 0 && s.blockSize() % k == 0) {
                    scale = FloatField.F32;
                } else {
                    flatBlock = s.blockSize();
                }
            }
            case Scheme.Mxfp4 _ -> {
                kind = Kind.LUT4;
                table = table(E2M1::decode);
                groupColumns = Scheme.Mxfp4.BLOCK;
                scale = ordinary(source.scales()) ? FloatField.E8M0 : FloatField.F32;
            }
            case Scheme.Nvfp4 _ -> {
                kind = Kind.LUT4;
                table = table(E2M1::decode);
                groupColumns = Scheme.Nvfp4.BLOCK;
                // No multiplier gives a divided matrix's scales bit for bit: they are divided here, once. The factor has to be
                // a normal number, else its product with a scale would be rounded twice.
                scaleFactor = FloatField.E4M3.factor * source.tensorScale();
                scale = contains(source.scales(), 0x7f, 0x7f) || !Float.isNaN(source.tensorDivisor()) || !normal(source.tensorScale())
                        || !normal(scaleFactor) ? FloatField.F32 : FloatField.E4M3;
            }
            case Scheme.Fp8 s -> float8(s.format(), s.grouping() instanceof Grouping.PerBlock b ? Math.min(b.cols(), Math.max(1, k)) : k);
            case Scheme.Mxfp8 s -> float8(s.format(), Scheme.Mxfp8.BLOCK);
        }
        if (scale != null && scale != FloatField.E4M3) {
            scaleFactor = scale.factor;
        }
        groups = k == 0 ? 0 : Math.ceilDiv(k, groupColumns);
        groupBlocks = Math.max(1, Math.ceilDiv(groupColumns, kind.columns));
        blocks = k == 0 ? 0 : (groups - 1) * groupBlocks + Math.ceilDiv(k - (groups - 1) * groupColumns, kind.columns);
    }

    /**
     * The kernels' arithmetic decodes finite codes only; a broken matrix keeps its NaN as plain floats. MXFP8's scales are F32 here
     * too: the kernels of the two are the same, and reading bytes would cost FP8 more (C2 stops inlining) than it saves MXFP8.
     */
    private void float8(Scheme.Fp8Format format, int columns) {
        boolean e4m3 = format == Scheme.Fp8Format.E4M3;
        if (contains(source.codes(), e4m3 ? 0x7f : 0x7c, 0x7f)) {
            dense(DType.F32);
            return;
        }
        kind = Kind.FLOAT8;
        code = e4m3 ? FloatField.E4M3 : FloatField.E5M2;
        groupColumns = columns;
        scale = FloatField.F32;
    }

    private void dense(DType type) {
        values = type == DType.F32 || type == DType.F16 && !finiteHalves(source.codes());
        kind = values ? Kind.FLOAT32 : Kind.FLOAT16;
        code = type == DType.BF16 ? FloatField.BF16 : FloatField.F16;
    }

    private static float[] table(IntToDoubleFunction decode) {
        float[] table = new float[16];
        for (int i = 0; i < 16; i++) {
            table[i] = (float) decode.applyAsDouble(i);
        }
        return table;
    }

    private static boolean contains(Tensor bytes, int low, int high) {
        for (long i = 0; i < bytes.elements(); i++) {
            int magnitude = bytes.getByte(i);
            if ((high == 0xff ? magnitude : magnitude & 0x7f) >= low) {
                return true;
            }
        }
        return false;
    }

    /** Every E8M0 code is that of a normal number. */
    private static boolean ordinary(Tensor scales) {
        for (long i = 0; i < scales.elements(); i++) {
            int code = scales.getByte(i);
            if (code == 0 || code == 0xff) {
                return false;
            }
        }
        return true;
    }

    private static boolean normal(float f) {
        return Math.abs(f) >= Float.MIN_NORMAL && Float.isFinite(f);
    }

    private static boolean finiteHalves(Tensor halves) {
        for (long i = 0; i < halves.elements(); i++) {
            if (!Float.isFinite(Half.f16ToFloat(halves.data().get(Output.SHORT, i << 1)))) {
                return false;
            }
        }
        return true;
    }

    private void allocate(Arena arena) {
        panelBytes = (long) blocks * Panels.BLOCK_BYTES;
        codes = arena.allocate(Math.max(1, panels) * Math.max(1, panelBytes), CpuLinear.ALIGNMENT);
        if (scale != null) {
            scaleWordShift = Integer.numberOfTrailingZeros(32 / scale.bits);
            scalePanelBytes = (long) Math.ceilDiv(groups, 1 << scaleWordShift) * Panels.BLOCK_BYTES;
            scales = arena.allocate(panels * scalePanelBytes, CpuLinear.ALIGNMENT);
        }
        if (flatBlock > 0) {
            long count = Math.ceilDiv(n * k, (long) flatBlock);
            flat = arena.allocate(4 * count, CpuLinear.ALIGNMENT);
            for (long i = 0; i < count; i++) {
                flat.set(Output.FLOAT, i << 2, source.nested() == null ? source.scales().getFloat(i) : source.nested().scale(i));
            }
        }
        if (kind == Kind.INT4) {
            if (((Scheme.Int4) source.scheme()).symmetric()) {
                zeros = arena.allocate(Panels.BLOCK_BYTES, CpuLinear.ALIGNMENT).fill((byte) 0x88);
            } else {
                zeroLineBytes = Panels.BLOCK_BYTES;
                zeroPanelBytes = (long) Math.ceilDiv(groups, 8) * Panels.BLOCK_BYTES;
                zeros = arena.allocate(panels * zeroPanelBytes, CpuLinear.ALIGNMENT);
            }
        }
    }

    private void panels(int from, int to) {
        for (int p = from; p < to; p++) {
            for (int lane = 0; lane < Panels.ROWS; lane++) {
                long row = (long) p * Panels.ROWS + lane;
                if (row < n) {
                    row(row, p * panelBytes + 4L * lane);
                    if (scale != null) {
                        scales(row, p * scalePanelBytes + 4L * lane);
                    }
                    if (zeroLineBytes > 0) {
                        zeros(row, p * zeroPanelBytes + 4L * lane);
                    }
                }
            }
        }
    }

    private void row(long row, long to) {
        for (int b = 0; b < blocks; b++) {
            int group = b / groupBlocks;
            int first = (b - group * groupBlocks) * kind.columns;
            int column = group * groupColumns + first;
            int count = Math.min(kind.columns, Math.min(groupColumns - first, k - column));
            codes.set(INT, to + (long) b * Panels.BLOCK_BYTES, word(row, column, count));
        }
    }

    private int word(long row, int column, int count) {
        long at = row * k + column;
        return switch (kind) {
            case ROWS -> throw new AssertionError("rows are not repacked");
            case FLOAT32 -> Float.floatToRawIntBits(source.value(row, column));
            case FLOAT16 -> count == 2
                    ? source.codes().data().get(INT, at << 1)
                    : source.codes().data().get(Output.SHORT, at << 1) & 0xffff;
            case FLOAT8 -> {
                if (count == 4) {
                    yield source.codes().data().get(INT, at);
                }
                int word = 0;
                for (int j = 0; j < count; j++) {
                    word |= source.codes().getByte(at + j) << (8 * j);
                }
                yield word;
            }
            case INT4, LUT4 -> {
                boolean flatCodes = source.scheme() instanceof Scheme.Bnb4;
                if (count == 8 && ((flatCodes ? at : column) & 1) == 0) {
                    int word = source.codes().data().get(INT, flatCodes ? at >>> 1 : row * ((k + 1L) >>> 1) + (column >>> 1));
                    // bitsandbytes puts the first of a pair into the high nibble.
                    yield flatCodes ? (word >>> 4) & 0x0f0f0f0f | (word & 0x0f0f0f0f) << 4 : word;
                }
                int word = 0;
                for (int j = 0; j < count; j++) {
                    word |= source.code(row, column + j) << (4 * j);
                }
                yield word;
            }
        };
    }

    private void scales(long row, long to) {
        int perWord = 1 << scaleWordShift;
        for (int g = 0; g < groups; g += perWord) {
            int word = 0;
            for (int i = 0; i < perWord && g + i < groups; i++) {
                word |= scaleBits(row, (long) (g + i) * groupColumns) << (i * scale.bits);
            }
            scales.set(INT, to + (long) (g >>> scaleWordShift) * Panels.BLOCK_BYTES, word);
        }
    }

    private int scaleBits(long row, long column) {
        return switch (scale) {
            case F32 -> Float.floatToRawIntBits(source.scale(row, column));
            case F16, BF16 -> {
                long index = ((Scheme.Int4) source.scheme()).grouping().scaleIndex(row, column, k);
                yield source.scales().data().get(Output.SHORT, index << 1) & 0xffff;
            }
            case E4M3, E5M2, E8M0 -> source.scales().getByte(row * groups + column / groupColumns);
        };
    }

    private void zeros(long row, long to) {
        for (int g = 0; g < groups; g += 8) {
            int word = 0;
            for (int i = 0; i < 8 && g + i < groups; i++) {
                word |= source.zero(row, (long) (g + i) * groupColumns) << (4 * i);
            }
            zeros.set(INT, to + (long) (g >>> 3) * Panels.BLOCK_BYTES, word);
        }
    }
}
