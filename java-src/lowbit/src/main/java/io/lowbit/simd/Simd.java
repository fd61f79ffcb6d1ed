package io.lowbit.simd;

import java.lang.management.ManagementFactory;
import java.util.List;

/**
 * The one decision between scalar code and its Vector API twin, taken when this class is first used.
 *
 * <p>The system property {@code lowbit.vector} forces it: {@code scalar}, {@code 128}, {@code 256} or {@code 512};
 * {@code auto} (the default) takes the widest the machine prefers. Vector code is refused where it would be boxed
 * and so slower than scalar code: without {@code --add-modules jdk.incubator.vector}, or without the C2 compiler.
 */
public final class Simd {
    /** Name of the system property that forces the choice. */
    public static final String PROPERTY = "lowbit.vector";

    private static final int WIDTH;
    private static final String REASON;

    static {
        String asked = System.getProperty(PROPERTY, "auto");
        String refusal = refusal();
        switch (asked) {
            case "scalar" -> {
                WIDTH = 0;
                REASON = "scalar code, forced by -D" + PROPERTY + "=scalar";
            }
            case "auto" -> {
                WIDTH = refusal == null ? PreferredWidth.bits() : 0;
                REASON = refusal == null
                        ? WIDTH + "-bit vectors, the width this machine prefers"
                        : "scalar code: " + refusal;
            }
            case "128", "256", "512" -> {
                if (refusal != null) {
                    throw new IllegalStateException("-D" + PROPERTY + "=" + asked + ": vector code cannot run: " + refusal);
                }
                WIDTH = Integer.parseInt(asked);
                REASON = WIDTH + "-bit vectors, forced by -D" + PROPERTY + "=" + asked;
            }
            default -> throw new IllegalStateException(
                    "-D" + PROPERTY + "=" + asked + ": expected auto, scalar, 128, 256 or 512");
        }
    }

    private Simd() {}

    /** Vector width in bits: 128, 256 or 512; 0 for scalar code. */
    public static int width() {
        return WIDTH;
    }

    /** True where the Vector API twins run. */
    public static boolean vectorized() {
        return WIDTH != 0;
    }

    /** One line: what was chosen and why, with the cure where vectors were refused. */
    public static String reason() {
        return REASON;
    }

    /** Why vector code cannot run here, with the cure; null where it can. */
    private static String refusal() {
        if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
            return "the JVM runs without the Vector API; start it with --add-modules jdk.incubator.vector";
        }
        String info = System.getProperty("java.vm.info", "");
        if (info.contains("interpreted mode")) {
            return "the JVM only interprets (-Xint); remove the flag";
        }
        List<String> flags = ManagementFactory.getRuntimeMXBean().getInputArguments();
        for (String flag : flags) {
            if (flag.startsWith("-XX:TieredStopAtLevel=") && !flag.endsWith("=4")) {
                return "the C2 compiler is off (" + flag + "); remove the flag";
            }
        }
        return null;
    }
}
