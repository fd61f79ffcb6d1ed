package io.lowbit.llm;

/** A folder that holds no model that this decoder computes: one line with the file, the reason and the cure. */
public final class ModelException extends IllegalArgumentException {
    public ModelException(String message) {
        super(message);
    }

    public ModelException(String message, Throwable cause) {
        super(message, cause);
    }
}
