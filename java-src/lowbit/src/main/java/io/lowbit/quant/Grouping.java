package io.lowbit.quant;

/** Which weights of a {@code [N, K]} matrix share one scale. */
public sealed interface Grouping {
    Grouping TENSOR = new PerTensor();
    Grouping CHANNEL = new PerChannel();

    static Grouping group(int size) {
        return new PerGroup(size);
    }

    static Grouping block(int rows, int cols) {
        return new PerBlock(rows, cols);
    }

    /** Rows of the scale grid for a matrix of {@code n} rows. */
    long scaleRows(long n);

    /** Columns of the scale grid for a matrix of {@code k} columns. */
    long scaleCols(long k);

    /** Index in the row-major scale grid of the scale of weight ({@code row}, {@code col}) in a matrix of {@code k} columns. */
    long scaleIndex(long row, long col, long k);

    /** {@code tensor}, {@code channel}, {@code g128}, {@code block128x128}. */
    String label();

    /** One scale for the whole matrix. */
    record PerTensor() implements Grouping {
        @Override
        public long scaleRows(long n) {
            return 1;
        }

        @Override
        public long scaleCols(long k) {
            return 1;
        }

        @Override
        public long scaleIndex(long row, long col, long k) {
            return 0;
        }

        @Override
        public String label() {
            return "tensor";
        }
    }

    /** One scale for each output channel: a row of the matrix. */
    record PerChannel() implements Grouping {
        @Override
        public long scaleRows(long n) {
            return n;
        }

        @Override
        public long scaleCols(long k) {
            return 1;
        }

        @Override
        public long scaleIndex(long row, long col, long k) {
            return row;
        }

        @Override
        public String label() {
            return "channel";
        }
    }

    /** One scale for {@code size} neighbours along K within a row; the last group of a row may be shorter. */
    record PerGroup(int size) implements Grouping {
        public PerGroup {
            if (size < 1) {
                throw new IllegalArgumentException("group size " + size + ": expected at least 1");
            }
        }

        @Override
        public long scaleRows(long n) {
            return n;
        }

        @Override
        public long scaleCols(long k) {
            return Math.ceilDiv(k, (long) size);
        }

        @Override
        public long scaleIndex(long row, long col, long k) {
            return row * scaleCols(k) + col / size;
        }

        @Override
        public String label() {
            return "g" + size;
        }
    }

    /** One scale for each tile of {@code rows × cols}; tiles at the edges may be smaller. */
    record PerBlock(int rows, int cols) implements Grouping {
        public PerBlock {
            if (rows < 1 || cols < 1) {
                throw new IllegalArgumentException("block " + rows + "x" + cols + ": expected at least 1x1");
            }
        }

        @Override
        public long scaleRows(long n) {
            return Math.ceilDiv(n, (long) rows);
        }

        @Override
        public long scaleCols(long k) {
            return Math.ceilDiv(k, (long) cols);
        }

        @Override
        public long scaleIndex(long row, long col, long k) {
            return (row / rows) * scaleCols(k) + col / cols;
        }

        @Override
        public String label() {
            return "block" + rows + "x" + cols;
        }
    }
}
