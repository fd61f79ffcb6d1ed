package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Module;
import io.lowbit.quant.Scheme;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;

/** The kernels of one context: PTX from the jar, a source file's kernels loaded together when first asked for. */
public final class Kernels implements AutoCloseable {
    private final Context context;
    private final Architecture architecture;
    private final Map<String, Module> modules = new HashMap<>();
    private final Map<String, Function> functions = new HashMap<>();
    private long compileNanos;

    public Kernels(Context context, Architecture architecture) {
        this.context = context;
        this.architecture = architecture;
    }

    public Architecture architecture() {
        return architecture;
    }

    /** The context. */
    public Context context() {
        return context;
    }

    /**
     * A kernel by its source file's name without the ending, and its own name after the architecture, for example
     * {@code gemv} and {@code gemv_int4_group}. For load time: the first call for a file compiles its PTX.
     *
     * @throws io.lowbit.cuda.driver.CudaException when the driver refuses the file's PTX
     */
    public synchronized Function function(String file, String operation) {
        String name = architecture.prefix() + "_" + operation;
        Function known = functions.get(name);
        if (known != null) {
            return known;
        }
        Module module = modules.get(file);
        if (module == null) {
            String resource = resource(file, architecture);
            long start = System.nanoTime();
            module = Module.load(context, resource, ptx(resource));
            compileNanos += System.nanoTime() - start;
            modules.put(file, module);
        }
        Function function = module.function(name);
        functions.put(name, function);
        return function;
    }

    /** How long the driver compiled so far; it is short where the driver's own cache has a file from an earlier process. */
    public synchronized long compileNanos() {
        return compileNanos;
    }

    /** Name of the PTX of a source file. */
    public static String resource(String file, Architecture architecture) {
        return file + "." + architecture.target() + ".ptx";
    }

    /** A resource beside this class. */
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
