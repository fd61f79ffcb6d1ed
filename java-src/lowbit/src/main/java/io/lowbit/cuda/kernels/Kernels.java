package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Module;
import io.lowbit.quant.Scheme;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;

/** The kernels of one context: PTX from the jar, a family loaded when first asked for. */
public final class Kernels implements AutoCloseable {
    private final Context context;
    private final Architecture architecture;
    private final Map<KernelFamily, Module> modules = new EnumMap<>(KernelFamily.class);
    private final Map<String, Function> functions = new HashMap<>();

    public Kernels(Context context, Architecture architecture) {
        this.context = context;
        this.architecture = architecture;
    }

    public Architecture architecture() {
        return architecture;
    }

    /**
     * A kernel by family and the rest of its name after the architecture, for example {@code gemv_int4_group}.
     *
     * @throws io.lowbit.cuda.driver.CudaException when the driver refuses the family's PTX
     */
    public synchronized Function function(KernelFamily family, String operation) {
        String name = architecture.prefix() + "_" + operation;
        Function known = functions.get(name);
        if (known != null) {
            return known;
        }
        Module module = modules.get(family);
        if (module == null) {
            String resource = family.file() + "." + architecture.target() + ".ptx";
            module = Module.load(context, resource, ptx(resource));
            modules.put(family, module);
        }
        Function function = module.function(name);
        functions.put(name, function);
        return function;
    }

    /** A kernel of a family for a scheme: from the family's file, or from that of the schemes that have their own. */
    public Function function(KernelFamily family, String operation, Scheme scheme) {
        return function(SchemeKernels.inBlocksFile(scheme) ? KernelFamily.BLOCKS : family, operation + "_" + SchemeKernels.suffix(scheme));
    }

    /** The PTX of a family as it lies in the jar. */
    public static byte[] ptx(String resource) {
        try (InputStream in = Kernels.class.getResourceAsStream(resource)) {
            if (in == null) {
                throw new IllegalStateException("kernel resource " + resource + " is missing from the jar: build Lowbit again");
            }
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException("kernel resource " + resource, e);
        }
    }

    @Override
    public synchronized void close() {
        functions.clear();
        for (Module module : modules.values()) {
            module.close();
        }
        modules.clear();
    }
}
