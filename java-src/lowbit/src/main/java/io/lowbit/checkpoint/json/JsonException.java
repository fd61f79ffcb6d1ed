package io.lowbit.checkpoint.json;

/** Text that is not JSON, or a value that is not what was asked for. The message is one line; the caller names the file. */
public final class JsonException extends RuntimeException {
    public JsonException(String message) {
        super(message);
    }
}
