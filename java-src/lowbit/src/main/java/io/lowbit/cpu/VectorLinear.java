package io.lowbit.cpu;

import io.lowbit.events.RepackEvent;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The Vector API twin: weights in {@link Panels}, {@link Gemv} for one row of x, for more rows a tile of weights decoded
 * into cache ({@link Decode}) and multiplied by {@link Tile4} or {@link Tile2}.
 *
 * <p>Every output element is summed by one thread in one fixed order, so its bits depend neither on the number of
 * threads nor on which thread took which chunk.
 */
final class VectorLinear extends CpuLinear {
    /** Rows of x handled at a time; bounds the scratch and keeps the sums of a tile in the second-level cache. */
    private static final int MAX_ROWS = 512;
    /** Rows of x that the widest micro-kernel takes. */
    private static final int TILE_ROWS = 6;
    /** Panels decoded together: the width of {@link Tile4} at 512 bits. */
    private static final int TILE_PANELS = 4;
    /** Output rows of a tile. */
    private static final int TILE_WIDTH = TILE_PANELS * Panels.ROWS;
    /** Columns decoded together: 4 panels of 256 are 64 KiB. */
    private static final int TILE_COLUMNS = 256;
    /** Bytes between decoded panels: a multiple of a page would put all four into the same cache sets. */
    private static final long TILE_STRIDE = TILE_COLUMNS * 64L + 320;
    private static final int NONE = -1;
    /** Panels in a chunk of work with one or a few rows. */
    private static final int GEMV_PANELS = 8;
    /** Up to so many rows of x are multiplied by {@link Direct} where a vector is a whole panel. */
    private static final int DIRECT_ROWS = 8;

    /** Vectors that make a panel's 16 rows: 1, 2 or 4. */
    private static final int PARTS = Panels.ROWS / Fields.LANES;
    private static final int PART_BYTES = 4 * Fields.LANES;

    private final Panels w;
    private final WorkerPool.Job packJob = this::packTile;
    private final WorkerPool.Job gemvJob = this::gemvChunk;
    private final WorkerPool.Job fewJob = this::fewChunk;
    private final WorkerPool.Job gemmJob = this::gemmChunk;

    // The call that runs; guarded by the pool's lock.
    private MemorySegment xData;
    private DType xType;
    private MemorySegment yData;
    private DType yType;
    private float[] packed;
    private float[] row;
    private MemorySegment sums;
    private boolean direct;
    private boolean adds;
    private long firstRow;
    private int rows;
    private int tiles;
    private int packedRows;
    private int panelsPerChunk;

    private VectorLinear(CpuBackend backend, QuantizedMatrix source, float[] bias) {
        super(backend, source, bias);
        Panels panels = null;
        RepackEvent event = new RepackEvent();
        event.begin();
        try {
            panels = Repack.pack(source, arena, backend.pool());
        } finally {
            if (panels == null) {
                arena.close();
            }
        }
        w = panels;
        event.finish("panels", source);
    }

    static VectorLinear load(CpuBackend backend, QuantizedMatrix source, float[] bias) {
        return new VectorLinear(backend, source, bias);
    }

    @Override
    long weightBytes() {
        return w.bytes();
    }

    @Override
    void compute(Tensor x, Tensor y, long m, boolean add) {
        WorkerPool pool = backend.pool();
        Thread worker = pool.anyWorker();
        boolean xShared = worker == null || x.data().isAccessibleBy(worker);
        direct = worker == null || y.data().isAccessibleBy(worker);
        xData = x.data();
        xType = x.dtype();
        yData = y.data();
        yType = y.dtype();
        adds = add;
        try {
            if (m == 1 && w.flat == null && w.kind != Panels.Kind.ROWS) {
                gemv();
            } else if (m <= DIRECT_ROWS && PARTS == 1 && w.scale != null) {
                firstRow = 0;
                rows = (int) m;
                few(y);
            } else {
                for (firstRow = 0; firstRow < m; firstRow += rows) {
                    // Equal parts, so that no part is left with a handful of rows.
                    rows = (int) Math.ceilDiv(m - firstRow, Math.ceilDiv(m - firstRow, (long) MAX_ROWS));
                    gemm(pool, xShared, y);
                }
            }
        } finally {
            xData = null;
            yData = null;
            packed = null;
            sums = null;
            row = null;
        }
    }

    // ---- one row of x

    private void gemv() {
        Scratch scratch = backend.scratch();
        packed = scratch.activations(w.paddedColumns());
        scratch.reserve(Scratch.Use.ROW, 1, 4L * k);
        row = scratch.row((w.panels + 1) * Panels.ROWS);
        reserveScales();
        Activations.pack(w, xData, xType, 0, 1, 1, packed, 0, scratch.get(Scratch.Use.ROW, 0));
        panelsPerChunk = panelsPerChunk();
        backend.pool().run(gemvJob, Math.ceilDiv(w.panels, panelsPerChunk));
        Output.write(row, 0, (int) n, bias, 0, yData, yType, 0, adds);
    }

    /** For one or a few rows. */
    private int panelsPerChunk() {
        return Math.max(Math.clamp(w.panels / (4L * backend.pool().threads()), 2, GEMV_PANELS),
                Math.ceilDiv(w.panels, WorkerPool.MAX_CHUNKS));
    }

    private void gemvChunk(int chunk, int slot) {
        int from = chunk * panelsPerChunk * PARTS;
        int count = Math.min(w.panels * PARTS - from, panelsPerChunk * PARTS);
        if (PARTS > 1) {
            // Two parts of one panel: the second finds the cache line that the first has fetched.
            for (int i = 0; i < count; i += 2) {
                gemv(from + i, from + i + 1, slot);
            }
            return;
        }
        // At 512 bits the two vectors read two distant streams, which keeps more cache misses in flight.
        int half = (count + 1) / 2;
        for (int i = 0; i < half; i++) {
            gemv(from + i, i + half < count ? from + i + half : NONE, slot);
        }
    }

    /** Vectors of output rows {@code u0} and {@code second}, counted in vectors; the latter may be {@link #NONE}. */
    private void gemv(int u0, int second, int slot) {
        int u1 = second == NONE ? u0 : second;
        int p0 = u0 / PARTS;
        int p1 = u1 / PARTS;
        int o0 = u0 % PARTS * PART_BYTES;
        int o1 = u1 % PARTS * PART_BYTES;
        int y0 = u0 * Fields.LANES;
        // A vector without a partner is its own; what the copy sums goes where nobody reads.
        int y1 = second == NONE ? w.panels * Panels.ROWS : u1 * Fields.LANES;
        if (w.kind == Panels.Kind.FLOAT16) {
            Gemv.float16(w, p0, o0, p1, o1, packed, row, y0, y1);
            return;
        }
        if (w.kind == Panels.Kind.FLOAT32) {
            Gemv.float32(w, p0, o0, p1, o1, packed, row, y0, y1);
            return;
        }
        switch (w.kind) {
            case INT4 -> {
                long scales = scales(slot);
                Gemv.expand(w, p0, o0, scales);
                Gemv.expand(w, p1, o1, scales + 128L * w.groups);
                Gemv.int4(w, p0, o0, p1, o1, scales, scales + 128L * w.groups, packed, row, y0, y1);
            }
            case LUT4 -> {
                if (w.halves != null) {
                    Gemv.pair4(w, p0, p1, packed, row, y0, y1);
                } else {
                    Gemv.lut4(w, p0, o0, p1, o1, packed, row, y0, y1);
                }
            }
            default -> Gemv.float8(w, p0, o0, p1, o1, packed, row, y0, y1);
        }
    }

    private void reserveScales() {
        if (w.kind == Panels.Kind.INT4) {
            backend.scratch().reserve(Scratch.Use.SCALES, backend.pool().threads(), 256L * w.groups);
        }
    }

    /** Address of the thread's memory for {@link Gemv#expand}; 0 for kinds that need none. */
    private long scales(int slot) {
        return w.kind == Panels.Kind.INT4 ? backend.scratch().get(Scratch.Use.SCALES, slot).address() : 0;
    }

    // ---- a few rows of x

    private void few(Tensor y) {
        WorkerPool pool = backend.pool();
        Scratch scratch = backend.scratch();
        packedRows = rows <= 4 ? 4 : 8;
        packed = scratch.activations(Math.multiplyExact(packedRows, w.paddedColumns()));
        if (rows < packedRows) {
            Arrays.fill(packed, 0, packedRows * w.paddedColumns(), 0f);
        }
        scratch.reserve(Scratch.Use.ROW, 1, 4L * k);
        scratch.reserveSums(2 * DIRECT_ROWS * Panels.ROWS);
        reserveScales();
        reserveOutput();
        Activations.pack(w, xData, xType, 0, rows, packedRows, packed, 0, scratch.get(Scratch.Use.ROW, 0));
        panelsPerChunk = panelsPerChunk();
        pool.run(fewJob, Math.ceilDiv(w.panels, panelsPerChunk));
        if (!direct) {
            Output.convert(sums, n, rows, y, 0, adds);
        }
    }

    private void fewChunk(int chunk, int slot) {
        int from = chunk * panelsPerChunk;
        int count = Math.min(w.panels - from, panelsPerChunk);
        int half = (count + 1) / 2;
        for (int i = 0; i < half; i++) {
            few(from + i, i + half < count ? from + i + half : NONE, slot);
        }
    }

    private void few(int p0, int second, int slot) {
        // A panel without a partner is its own; what the copy sums goes where nobody reads.
        int p1 = second == NONE ? p0 : second;
        float[] c = backend.scratch().sums(slot);
        int c1 = packedRows * Panels.ROWS;
        long scales = scales(slot);
        if (w.kind == Panels.Kind.INT4) {
            Gemv.expand(w, p0, 0, scales);
            Gemv.expand(w, p1, 0, scales + 128L * w.groups);
        }
        Direct.multiply(packedRows, w, p0, p1, scales, scales + 128L * w.groups, packed, c, 0, c1);
        writePanel(c, 0, p0);
        if (second != NONE) {
            writePanel(c, c1, p1);
        }
    }

    private void writePanel(float[] c, int at, int panel) {
        long column = (long) panel * Panels.ROWS;
        int width = (int) Math.min(Panels.ROWS, n - column);
        for (int row = 0; row < rows; row++) {
            write(c, at + row * Panels.ROWS, width, row, column);
        }
    }

    // ---- many rows of x

    private void gemm(WorkerPool pool, boolean xShared, Tensor y) {
        Scratch scratch = backend.scratch();
        int threads = pool.threads();
        tiles = Math.ceilDiv(rows, TILE_ROWS);
        packed = scratch.activations(Math.multiplyExact(rows, w.paddedColumns()));
        scratch.reserve(Scratch.Use.ROW, threads, Math.max(4L * k, Decode.LANE_BYTES));
        scratch.reserve(Scratch.Use.WEIGHTS, threads, TILE_PANELS * TILE_STRIDE);
        scratch.reserveSums(rows * TILE_WIDTH);
        reserveOutput();
        if (xShared) {
            pool.run(packJob, tiles);
        } else {
            for (int t = 0; t < tiles; t++) {
                packTile(t, 0);
            }
        }
        panelsPerChunk = TILE_PANELS * Math.ceilDiv(Math.ceilDiv(w.panels, TILE_PANELS), WorkerPool.MAX_CHUNKS);
        pool.run(gemmJob, Math.ceilDiv(w.panels, panelsPerChunk));
        if (!direct) {
            Output.convert(sums, n, rows, y, firstRow, adds);
        }
    }

    /** First row of tile {@code t}: the rows are spread evenly, 7 rows are 4 and 3 rather than 6 and 1. */
    private int tileRow(int t) {
        return (int) ((long) rows * t / tiles);
    }

    private void packTile(int tile, int slot) {
        int row = tileRow(tile);
        Activations.pack(w, xData, xType, (firstRow + row) * k, tileRow(tile + 1) - row, tileRow(tile + 1) - row,
                packed, row * w.paddedColumns(), backend.scratch().get(Scratch.Use.ROW, slot));
    }

    private void gemmChunk(int chunk, int slot) {
        int end = Math.min(w.panels, (chunk + 1) * panelsPerChunk);
        for (int panel = chunk * panelsPerChunk; panel < end; panel += TILE_PANELS) {
            tilePanels(panel, Math.min(TILE_PANELS, end - panel), slot);
        }
    }

    private void tilePanels(int panel, int count, int slot) {
        Scratch scratch = backend.scratch();
        MemorySegment lanes = scratch.get(Scratch.Use.ROW, slot);
        MemorySegment tile = scratch.get(Scratch.Use.WEIGHTS, slot);
        float[] c = scratch.sums(slot);
        int columns = w.kind.columns;
        int step = TILE_COLUMNS / columns;
        Arrays.fill(c, 0, rows * TILE_WIDTH, 0f);
        for (int from = 0; from < w.blocks; from += step) {
            int to = Math.min(w.blocks, from + step);
            for (int p = 0; p < count; p++) {
                for (int o = 0; o < (w.kind == Panels.Kind.FLOAT32 ? 1 : PARTS); o++) {
                    Decode.decode(w, panel + p, o * PART_BYTES, from, to, tile, p * TILE_STRIDE + o * PART_BYTES, lanes);
                }
            }
            for (int t = 0; t < tiles; t++) {
                int row = tileRow(t);
                int r = tileRow(t + 1) - row;
                int a = row * w.paddedColumns() + from * columns * r;
                multiply(r, a, tile, c, row * TILE_WIDTH, (to - from) * columns, count);
            }
        }
        long column = (long) panel * Panels.ROWS;
        int width = (int) Math.min((long) count * Panels.ROWS, n - column);
        for (int row = 0; row < rows; row++) {
            write(c, row * TILE_WIDTH, width, row, column);
        }
    }

    /** Finished sums of one row of this batch, to y or to where it is put together. */
    private void write(float[] c, int at, int width, int row, long column) {
        if (direct) {
            Output.write(c, at, width, bias, column, yData, yType, (firstRow + row) * n + column, adds);
        } else {
            Output.write(c, at, width, bias, column, sums, DType.F32, row * n + column, false);
        }
    }

    private void reserveOutput() {
        if (!direct) {
            Scratch scratch = backend.scratch();
            scratch.reserve(Scratch.Use.OUTPUT, 1, 4 * rows * n);
            sums = scratch.get(Scratch.Use.OUTPUT, 0);
        }
    }

    private void multiply(int r, int a, MemorySegment tile, float[] c, int c0, int columns, int count) {
        if (PARTS == 1 && count > 2) {
            Tile4.add(r, packed, a, tile, 0, TILE_STRIDE, 2 * TILE_STRIDE, 3 * TILE_STRIDE, c, c0, TILE_WIDTH, columns);
            return;
        }
        int vectors = count * PARTS;
        for (int v = 0; v < vectors; v += 2) {
            // With one panel at 512 bits the second vector is stale memory that nobody reads.
            Tile2.add(r, packed, a, tile, offset(v), offset(v + 1), c, c0 + v * Fields.LANES, TILE_WIDTH, columns);
        }
    }

    private static long offset(int vector) {
        return vector / PARTS * TILE_STRIDE + vector % PARTS * PART_BYTES;
    }
}
