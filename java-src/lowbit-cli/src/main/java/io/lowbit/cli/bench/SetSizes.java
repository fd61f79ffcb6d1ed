package io.lowbit.cli.bench;

/**
 * How many bytes of weights a case rotates through.
 *
 * @param dramBytes at least so many where every byte is read once a call (M below 8)
 * @param batchBytes at least so many for larger M, where the weights' traffic does not bound the time
 * @param l3Bytes about so many in the L3 regime
 * @param l3Limit a single copy larger than this has no L3 regime
 */
public record SetSizes(long dramBytes, long batchBytes, long l3Bytes, long l3Limit) {
    private static final long GIB = 1L << 30;
    private static final long MIB = 1L << 20;

    /**
     * DRAM: 1 GiB or four times the L3, whichever is more. Batches: four times the L3, 256 MiB at least. L3: three
     * quarters of it, 64 MiB at most (a virtual machine's share of a large L3 is smaller than it says); one copy may
     * take seven eighths.
     */
    public static SetSizes of(CpuCaches caches) {
        long l3 = caches.l3Bytes();
        return new SetSizes(Math.max(GIB, 4 * l3), Math.max(256 * MIB, 4 * l3), Math.min(l3 / 4 * 3, 64 * MIB), l3 / 8 * 7);
    }

    /** The bytes a DRAM set of a case with {@code m} rows must reach. */
    public long dramBytes(int m) {
        return m < 8 ? dramBytes : batchBytes;
    }

    /** Copies of {@code bytes} each that make the DRAM set for {@code m} rows. */
    public int dramCopies(int m, long bytes) {
        return Math.toIntExact(Math.max(2, Math.ceilDiv(dramBytes(m), bytes)));
    }

    /** Copies of {@code bytes} each that make the L3 set; 0 where one copy is too large for it. */
    public int l3Copies(long bytes) {
        return bytes > l3Limit ? 0 : Math.toIntExact(Math.max(1, l3Bytes / bytes));
    }
}
