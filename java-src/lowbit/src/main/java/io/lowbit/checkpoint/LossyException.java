package io.lowbit.checkpoint;

/** A conversion that would change weights. The message is one line: layer, reason, and the command that would do it knowingly. */
public final class LossyException extends IllegalArgumentException {
    public LossyException(String layer, String why, String cure) {
        super("layer " + CheckpointException.quote(layer) + ": " + why + "; " + cure);
    }
}
