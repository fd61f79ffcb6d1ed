package io.lowbit.cli.bench.gpu;

/** A contender that this device has no kernel for; the message says why. */
final class NoProductException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    NoProductException(String message) {
        super(message);
    }
}
