package io.lowbit.format;

import java.lang.foreign.MemorySegment;

/**
 * A number format over runs of memory: f32 to codes and codes to f32, one code a byte, one scale a run. Every
 * implementation gives the bits of the format's scalar definition for every input. Stateless and thread-safe.
 *
 * <p>Segments may be unaligned and must not overlap. Offsets are in bytes, counts in elements.
 */
public interface BulkCodec {
    /**
     * Codes of {@code count} floats. The value encoded is x / {@code scale}, or x · (1 / {@code scale}) where the
     * codec was made with {@link Scaling#RECIPROCAL}; each operation is rounded to f32.
     *
     * @param x F32
     * @param codes one byte for each float
     * @throws IndexOutOfBoundsException where a run leaves its segment
     */
    void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count);

    /**
     * Values of {@code count} codes times {@code scale}, rounded to f32.
     *
     * @param codes one byte for each code; a 4-bit code must be 0..15
     * @param x F32
     * @throws IndexOutOfBoundsException where a run leaves its segment
     */
    void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count);
}
