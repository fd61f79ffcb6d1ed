package io.lowbit.cli;

/** A command cannot do its work. The message is the one line the user sees: {@code WHAT: WHY, and the cure}. */
public final class CliException extends RuntimeException {
    public CliException(String message) {
        super(message);
    }

    public CliException(String message, Throwable cause) {
        super(message, cause);
    }
}
