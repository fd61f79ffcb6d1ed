package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonWriter;

/** A checkpoint that cannot be used. The message is one line: file, reason, cure. */
public final class CheckpointException extends RuntimeException {
    /** Kinds of fault, for programs. */
    public enum Fault {
        /** The file ends before the header's length does. */
        HEADER_TOO_SMALL,
        /** The header's length is beyond the format's limit. */
        HEADER_TOO_LARGE,
        /** The header reaches beyond the file. */
        HEADER_LENGTH,
        /** A Git LFS pointer instead of the file. */
        LFS_POINTER,
        /** The header is not UTF-8 or does not begin as a JSON object. */
        HEADER,
        /** The header is not the JSON it should be. */
        HEADER_JSON,
        /** A tensor's entry is not as the format says. */
        TENSOR_INFO,
        /** Offsets leave gaps, overlap or run backwards. */
        OFFSET,
        /** A size overflows 64 bits. */
        OVERFLOW,
        /** Sub-byte elements do not fill whole bytes. */
        MISALIGNED,
        /** The tensors do not cover the file to its end. */
        INCOMPLETE,
        /** {@code __metadata__} is not strings to strings. */
        METADATA,
        /** A configurable resource limit. */
        LIMIT,
        /** A name with control characters or the like. */
        NAME,
        /** A sharded folder's index and files disagree, or a path leaves the folder. */
        INDEX,
        /** The file became shorter or was replaced while in use. */
        CHANGED,
        /** No such tensor or layer. */
        MISSING,
        /** Quantized parts that do not fit together. */
        LAYOUT,
        /** A file or feature that Lowbit does not read. */
        UNSUPPORTED
    }

    private final Fault fault;

    /**
     * @param what the file, or the file and tensor
     * @param why the reason
     * @param cure what the user can do
     */
    public CheckpointException(Fault fault, String what, String why, String cure) {
        super(what + ": " + why + "; " + cure);
        this.fault = fault;
    }

    public CheckpointException(Fault fault, String what, String why, String cure, Throwable cause) {
        this(fault, what, why, cure);
        initCause(cause);
    }

    public Fault fault() {
        return fault;
    }

    /** A name out of a file, fit for a message: in quotes, escaped, cut. */
    static String quote(String name) {
        return JsonWriter.quote(name.length() <= 120 ? name : name.substring(0, 120) + "…");
    }
}
