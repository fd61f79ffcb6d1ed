package io.lowbit.cli.bench.cublaslt;

/** What cuBLASLt multiplies, how it is scaled and how precisely it adds up. y is BF16 always. */
public enum Operands {
    BF16("bf16", false, false, false),
    FP8_TENSOR_FAST("fp8 tensor fast", true, false, true),
    FP8_TENSOR_PRECISE("fp8 tensor precise", true, false, false),
    FP8_ROW_FAST("fp8 row fast", true, true, true),
    FP8_ROW_PRECISE("fp8 row precise", true, true, false);

    private final String label;
    private final boolean fp8;
    private final boolean rows;
    private final boolean fast;

    Operands(String label, boolean fp8, boolean rows, boolean fast) {
        this.label = label;
        this.fp8 = fp8;
        this.rows = rows;
        this.fast = fast;
    }

    /** For tables. */
    public String label() {
        return label;
    }

    /** True for E4M3 operands, false for BF16. */
    public boolean fp8() {
        return fp8;
    }

    /** True where each row of w and of x has its own scale. */
    public boolean rows() {
        return rows;
    }

    /** True where sums may stay in the tensor core's own accumulator, which keeps fewer bits. */
    public boolean fast() {
        return fast;
    }
}
