package io.lowbit.checkpoint;

/** How a file's bytes come into memory. */
public enum FileAccess {
    /** Mapped: nothing is read before it is used, and the system may share and drop pages. The file must stay as it is. */
    MAP,
    /** Copied into memory of its own: safe from whatever happens to the file later. */
    COPY
}
