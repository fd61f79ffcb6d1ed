package io.lowbit.cli.bench.gpu;

/** What the tensor cores multiply, and so which peak bounds a product. */
public enum MathType {
    BF16,
    FP8;

    /** Lower case, for tables and files. */
    public String label() {
        return name().toLowerCase(java.util.Locale.ROOT);
    }
}
