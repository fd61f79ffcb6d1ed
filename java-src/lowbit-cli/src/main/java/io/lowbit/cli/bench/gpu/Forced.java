package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Kernels that are timed each by itself, beside those that are chosen: what tables of choice are made of. */
public final class Forced {
    /** Stands in a contender's name before its kernel's. */
    private static final String BY = " by ";

    /** What every scheme's kernels for large matrices take. */
    private static final long LARGE = 1 << 16;

    private Forced() {}

    /**
     * The kernels of an architecture whose names match.
     *
     * @param globs as {@code w4-few-*}
     * @throws IllegalArgumentException where one of them matches none
     */
    public static List<ProductKernel> matching(Architecture architecture, List<String> globs) {
        Set<ProductKernel> kernels = new LinkedHashSet<>();
        for (String glob : globs) {
            PathMatcher matcher = FileSystems.getDefault().getPathMatcher("glob:" + glob);
            List<ProductKernel> matching = Catalogue.kernels(architecture).stream().filter(kernel -> matcher.matches(Path.of(kernel.name()))).toList();
            if (matching.isEmpty()) {
                throw new IllegalArgumentException("--kernels " + glob + ": no kernel for " + architecture.target() + " has such a name; there are "
                        + String.join(", ", Catalogue.kernels(architecture).stream().map(ProductKernel::name).toList()));
            }
            kernels.addAll(matching);
        }
        return List.copyOf(kernels);
    }

    /**
     * Those of a plan that make products of a scheme, with as many rows as they take.
     *
     * @param inputs null for activations as they come
     */
    static List<ProductKernel> of(GpuPlan plan, Scheme scheme, EightBits inputs) {
        MatrixShape large = MatrixShape.plain(scheme, LARGE, LARGE);
        DType dtype = plan.dtype();
        return plan.kernels().stream().filter(kernel -> inputs == null ? kernel.supports(large, dtype, dtype, null)
                : inputs.accumulation().allows(kernel.accumulation()) && kernel.supports(large, dtype, dtype, inputs.scaling())).toList();
    }

    /** How many of them take so many rows. */
    static int count(GpuPlan plan, Scheme scheme, EightBits inputs, int m) {
        return (int) of(plan, scheme, inputs).stream().filter(kernel -> m <= kernel.mostRows()).count();
    }

    /** A contender's name; {@code kernel} null: the name of the one whose kernels are chosen. */
    static String name(String contender, ProductKernel kernel) {
        return kernel == null ? contender : contender + BY + kernel.name();
    }

    /** The name without the kernel. */
    static String contender(String name) {
        int at = name.indexOf(BY);
        return at < 0 ? name : name.substring(0, at);
    }
}
