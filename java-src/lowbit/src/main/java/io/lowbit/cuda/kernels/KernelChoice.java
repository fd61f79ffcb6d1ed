package io.lowbit.cuda.kernels;

/**
 * Which kernel makes a product of M rows. The rows of a product never depend on which other rows are computed with them,
 * but the two families sum in another order.
 *
 * <p>The system property {@value #PROPERTY} forces {@code gemv} or {@code linear}, for tests and benchmarks.
 */
public final class KernelChoice {
    /** Name of the system property that forces the choice. */
    public static final String PROPERTY = "lowbit.cuda.kernel";

    private final KernelFamily forced;

    private KernelChoice(KernelFamily forced) {
        this.forced = forced;
    }

    /** Always {@code family}: GEMV or LINEAR. */
    public static KernelChoice always(KernelFamily family) {
        if (family != KernelFamily.GEMV && family != KernelFamily.LINEAR) {
            throw new IllegalArgumentException(family + " makes no plain product: expected GEMV or LINEAR");
        }
        return new KernelChoice(family);
    }

    /**
     * The choice by rule, or as the property forces it.
     *
     * @throws IllegalArgumentException when the property names no product kernel
     */
    public static KernelChoice fromProperty() {
        String name = System.getProperty(PROPERTY);
        return switch (name) {
            case null -> new KernelChoice(null);
            case "gemv" -> new KernelChoice(KernelFamily.GEMV);
            case "linear" -> new KernelChoice(KernelFamily.LINEAR);
            default -> throw new IllegalArgumentException("-D" + PROPERTY + "=" + name + ": expected gemv or linear");
        };
    }

    /** {@link KernelFamily#GEMV} while one of its blocks holds all rows (each weight is decoded once), else LINEAR. */
    public KernelFamily of(long m) {
        if (forced != null) {
            return forced;
        }
        return m <= KernelFamily.GEMV.rows() ? KernelFamily.GEMV : KernelFamily.LINEAR;
    }
}
