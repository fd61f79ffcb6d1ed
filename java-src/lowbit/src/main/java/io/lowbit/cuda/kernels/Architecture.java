package io.lowbit.cuda.kernels;

import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.cuda.driver.DeviceInfo;

/** What kernels are compiled for. */
public enum Architecture {
    /** Ada (8.9), and any newer GPU but Hopper. */
    SM89("sm89", "sm_89"),
    /** Hopper (9.0) alone: its PTX may use what no other GPU has. */
    SM90("sm90", "sm_90a");

    /** Name of the system property that forces the choice: {@code sm89} or {@code sm90}. */
    public static final String PROPERTY = "lowbit.cuda.arch";

    private final String prefix;
    private final String target;

    Architecture(String prefix, String target) {
        this.prefix = prefix;
        this.target = target;
    }

    /** First part of its kernels' names. */
    public String prefix() {
        return prefix;
    }

    /** The PTX target, as in the names of resources. */
    public String target() {
        return target;
    }

    /**
     * The architecture whose kernels run on {@code device}.
     *
     * @throws BackendUnavailableException when the GPU is too old for all of them
     * @throws IllegalArgumentException when the property forces one that is not there
     */
    public static Architecture of(DeviceInfo device) {
        if (device.major() < 8 || device.major() == 8 && device.minor() < 9) {
            throw new BackendUnavailableException(device.name() + " is too old: compute capability " + device.computeCapability()
                    + ", the kernels need 8.9 (Ada) or newer; use --backend cpu");
        }
        String forced = System.getProperty(PROPERTY);
        if (forced != null) {
            for (Architecture a : values()) {
                if (a.prefix.equals(forced)) {
                    return a;
                }
            }
            throw new IllegalArgumentException("-D" + PROPERTY + "=" + forced + ": expected sm89 or sm90");
        }
        return device.major() == 9 && device.minor() == 0 ? SM90 : SM89;
    }
}
