package io.lowbit.cli.bench.gpu;

/**
 * Peaks without sparsity as NVIDIA's datasheets give them, operations a second with f32 sums, for where nothing can be
 * measured.
 *
 * @param gpu part of the device's name
 */
record Datasheet(String gpu, double bf16, double fp8) {
    private static final Datasheet[] KNOWN = {
        new Datasheet("H100 PCIe", 756e12, 1513e12),
        new Datasheet("H100 NVL", 835e12, 1671e12),
        new Datasheet("H100", 989e12, 1979e12),
        new Datasheet("H200", 989e12, 1979e12),
        new Datasheet("L40S", 362e12, 733e12),
        new Datasheet("L4", 121e12, 242e12),
        new Datasheet("RTX 4090", 165e12, 330e12),
    };

    /** The first whose name is part of {@code device}; null where none is. */
    static Datasheet of(String device) {
        for (Datasheet sheet : KNOWN) {
            if (device.contains(sheet.gpu) && !(sheet.gpu.equals("L4") && device.contains("L40"))) {
                return sheet;
            }
        }
        return null;
    }
}
