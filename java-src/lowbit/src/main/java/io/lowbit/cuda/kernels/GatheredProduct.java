package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.tensor.DType;

/**
 * A product with weights whose columns lie in another order than those of x, act-order: {@code gather.cu} copies x in that order
 * into the stream's {@link Stream#operands}, and the kernel reads it there. Where x is larger, it is taken in portions of rows.
 */
final class GatheredProduct implements Product {
    private static final String FILE = "gather";
    private static final int THREADS = 256;
    /** Columns that a thread takes at once, and how often. */
    private static final int OWN = 8;
    private static final int MOST_TIMES = 4;
    /** Shared memory for rows of x: three blocks of a multiprocessor on Hopper, one on Ada. */
    private static final int HELD = 64 << 10;
    /** The most rows of a block: there a column's place has been looked up often enough. */
    private static final int MOST_ROWS = 8;
    /** Portions end where the tiles of most kernels do. */
    private static final long TILE = 256;

    private final Product product;
    private final long n;
    private final long k;
    private final long order;
    private final Function narrow;
    private final Function wide;
    /** Enough to keep the GPU busy. */
    private final long blocks;
    /** By type (0: 16 bits, 1: 32) and rows of a block. */
    private final LaunchConfig[][] configs = new LaunchConfig[2][MOST_ROWS + 1];

    /** @param product reads x in the order of the weights */
    GatheredProduct(Kernels kernels, LayerWeights weights, Product product) {
        this.product = product;
        n = weights.shape().n();
        k = weights.shape().k();
        order = weights.order();
        narrow = kernels.function(FILE, "gather_16").allowShared(HELD);
        wide = kernels.function(FILE, "gather_32").allowShared(HELD);
        blocks = 4L * kernels.context().device().multiprocessors();
        for (int type = 0; type < 2; type++) {
            for (int rows = 1; rows <= mostRows(type); rows++) {
                LaunchConfig config = LaunchConfig.of(THREADS).withShared(held(type, rows) ? Math.toIntExact(rowBytes(type) * rows) : 0);
                configs[type][rows] = kernels.architecture() == Architecture.SM90 ? config.withOverlap() : config;
            }
        }
    }

    private long rowBytes(int type) {
        return (2L << type) * k;
    }

    private boolean held(int type, int rows) {
        return rowBytes(type) * rows <= HELD;
    }

    private int mostRows(int type) {
        return (int) Math.clamp(HELD / rowBytes(type), 1, MOST_ROWS);
    }

    @Override
    public ProductKernel kernel() {
        return product.kernel();
    }

    @Override
    public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
        int type = xType == ElementTypes.of(DType.F32) ? 1 : 0;
        long operands = stream.operands();
        long portion = portion(m, Stream.WORKSPACE_BYTES / rowBytes(type));
        stream.hold();  // another thread's x must not come in between
        try {
            for (long at = 0; at < m; at += portion) {
                long rows = Math.min(portion, m - at);
                gather(stream, type, x + at * rowBytes(type), operands, rows);
                product.enqueue(stream, rows, operands, xType, y + ElementTypes.bytes(yType) * n * at, yType, activations);
            }
        } finally {
            stream.letGo();
        }
    }

    /** Rows of a portion: all, or equal parts of at most {@code most}, in whole tiles where there is room. */
    static long portion(long m, long most) {
        if (m <= most) {
            return m;
        }
        long equal = Math.ceilDiv(m, Math.ceilDiv(m, most));
        return Math.min(most, Math.ceilDiv(equal, TILE) * TILE);
    }

    private void gather(Stream stream, int type, long x, long to, long m) {
        // A block takes as many columns as its threads keep the places of, of as many rows as it holds, time after time; where there
        // are few rows, fewer of both, so that there are blocks for all of the GPU.
        long least = Math.ceilDiv(k, (long) THREADS * OWN * MOST_TIMES);
        int rows = (int) Math.clamp(m * least / blocks, 1, mostRows(type));
        long across = Math.ceilDiv(m, (long) rows);
        long parts = Math.clamp(blocks / across, least, Math.ceilDiv(k, (long) THREADS * OWN));
        long columns = Math.ceilDiv(Math.ceilDiv(k, parts), OWN) * OWN;
        stream.arguments().int64(x).int64(order).int64(to).int64(m).int64(k).int32(rows).int32(Math.toIntExact(columns))
                .int32(held(type, rows) ? 1 : 0);
        stream.launch(type == 0 ? narrow : wide, configs[type][rows], Math.min(across, Math.ceilDiv(blocks, parts)), Math.ceilDiv(k, columns), 1);
    }
}
