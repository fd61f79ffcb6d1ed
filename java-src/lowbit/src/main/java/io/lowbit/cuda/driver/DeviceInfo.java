package io.lowbit.cuda.driver;

/**
 * One GPU.
 *
 * @param ordinal its number among those that CUDA shows this process
 * @param name as the driver gives it
 * @param major compute capability, before the point
 * @param minor compute capability, after the point
 * @param multiprocessors SMs
 * @param memoryBytes device memory
 * @param l2Bytes L2 cache
 * @param driverVersion 1000·major + 10·minor of the driver's CUDA
 */
public record DeviceInfo(int ordinal, String name, int major, int minor, int multiprocessors, long memoryBytes, long l2Bytes,
        int driverVersion) {
    /** For example {@code 9.0}. */
    public String computeCapability() {
        return major + "." + minor;
    }

    /** For example {@code NVIDIA H100 (compute capability 9.0, 132 SMs, 79 GiB, driver CUDA 12.4)}. */
    @Override
    public String toString() {
        return name + " (compute capability " + computeCapability() + ", " + multiprocessors + " SMs, " + (memoryBytes >> 30)
                + " GiB, driver CUDA " + Driver.dotted(driverVersion) + ")";
    }
}
