package io.lowbit.checkpoint;

/**
 * What a safetensors header may ask of its reader. The format itself limits only {@code headerBytes}.
 *
 * @param headerBytes length of the JSON header; the format's own limit is 100,000,000
 * @param tensors entries in the header
 * @param nameBytes UTF-8 bytes of a tensor's name
 * @param rank dimensions of a tensor
 */
public record SafetensorsLimits(int headerBytes, int tensors, int nameBytes, int rank) {
    /** The format's 100 MB, a million tensors, names of 1 KiB, 16 dimensions. */
    public static final SafetensorsLimits DEFAULT = new SafetensorsLimits(100_000_000, 1_000_000, 1024, 16);

    public SafetensorsLimits {
        if (headerBytes < 2 || headerBytes > 100_000_000 || tensors < 0 || nameBytes < 1 || rank < 0) {
            throw new IllegalArgumentException("limits of " + headerBytes + " header bytes, " + tensors + " tensors, " + nameBytes
                    + " name bytes, rank " + rank + ": expected 2 to 100000000 header bytes and no negative limit");
        }
    }
}
