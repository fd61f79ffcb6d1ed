package io.lowbit.cli.bench.cublaslt;

/** A call of cuBLASLt that failed: which one and what it says. */
public final class CublasLtException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public CublasLtException(String message) {
        super(message);
    }
}
