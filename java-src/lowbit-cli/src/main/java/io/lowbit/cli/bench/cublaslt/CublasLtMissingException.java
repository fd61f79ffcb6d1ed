package io.lowbit.cli.bench.cublaslt;

/** There is no usable cuBLASLt here; the message says what was tried and the cure. */
public final class CublasLtMissingException extends Exception {
    private static final long serialVersionUID = 1L;

    CublasLtMissingException(String message) {
        super(message);
    }
}
