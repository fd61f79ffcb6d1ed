package io.lowbit.cuda.kernels;

/** Kernels of one source file, loaded together. */
public enum KernelFamily {
    /** Codes to floats. */
    DEQUANTIZE("dequantize", 256, 0, 0),
    /** Products for few rows: one warp a column, f32 arithmetic. */
    GEMV("gemv", 128, 8, 4),
    /** Products for any number of rows, on tensor cores. */
    LINEAR("linear", 128, 64, 64),
    /** The three above for ggml's blocks and 8-bit integers. */
    BLOCKS("blocks", 0, 0, 0),
    /** FP8 weights with activations quantized to FP8 on the device, on tensor cores. */
    W8A8("w8a8", 128, 64, 64);

    private final String file;
    private final int threads;
    private final int rows;
    private final int columns;

    KernelFamily(String file, int threads, int rows, int columns) {
        this.file = file;
        this.threads = threads;
        this.rows = rows;
        this.columns = columns;
    }

    /** Name of its source file, without the ending. */
    public String file() {
        return file;
    }

    /** Threads of a block. */
    public int threads() {
        return threads;
    }

    /** Rows of y that a block makes; 0 where blocks make no rows. */
    public int rows() {
        return rows;
    }

    /** Columns of y that a block makes. */
    public int columns() {
        return columns;
    }
}
