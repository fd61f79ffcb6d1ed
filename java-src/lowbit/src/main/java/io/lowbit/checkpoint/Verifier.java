package io.lowbit.checkpoint;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;

/**
 * Looks for what is known to be wrong with checkpoints: zero points of the other version, scales that are NaN, infinite or
 * zero, parts that are missing or do not fit, NaN among codes and plain weights, a configuration that names a layout
 * nobody finds. A file that is not well-formed does not come this far: {@link Checkpoint#open} refuses it.
 */
public final class Verifier {
    /** Parts of layers that mean nothing alone: a suffix, and what must be there with it. */
    private static final String[][] COMPANIONS = {
        {".qweight", ".scales"}, {".qweight", ".qzeros"}, {".scales", ".qweight"}, {".qzeros", ".qweight"},
        {".weight_packed", ".weight_scale"}, {".weight_scale", ".weight|.weight_packed"}, {".weight_scale_inv", ".weight"},
        {".weight_zero_point", ".weight_packed"}, {".weight.absmax", ".weight"}, {".weight.quant_map", ".weight.absmax"}, {".SCB", ".weight"},
        {"_blocks", "_scales"}};

    /** One thing that is wrong: the layer or tensor, and what. */
    public record Finding(String where, String what) {}

    private Verifier() {}

    /**
     * Verifies.
     *
     * @param done told of every layer and plain tensor that was looked at, by any thread
     */
    public static List<Finding> verify(Checkpoint c, int threads, Consumer<String> done) throws IOException {
        List<Finding> out = new ArrayList<>();
        Layouts layouts;
        try {
            layouts = Layouts.of(c);
        } catch (CheckpointException e) {
            return List.of(new Finding(c.path().toString(), reason(c, e)));
        }
        missing(c, out);
        configuration(c, layouts, out);
        List<Callable<List<Finding>>> tasks = new ArrayList<>();
        for (String layer : layouts.layers()) {
            tasks.add(() -> {
                List<Finding> found = layer(c, layouts, layer);
                done.accept(layer);
                return found;
            });
        }
        Set<String> parts = layouts.partNames();
        for (String name : c.names()) {
            if (!parts.contains(name) && c.tensor(name).dtype().isFloat()) {
                tasks.add(() -> {
                    List<Finding> found = plain(c, name);
                    done.accept(name);
                    return found;
                });
            }
        }
        run(tasks, threads, out);
        c.verifyUnchanged();
        return List.copyOf(out);
    }

    private static void run(List<Callable<List<Finding>>> tasks, int threads, List<Finding> out) throws IOException {
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            for (Future<List<Finding>> f : pool.invokeAll(tasks)) {
                out.addAll(f.get());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new java.io.InterruptedIOException("verify was interrupted");
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case RuntimeException r -> throw r;
                case Error error -> throw error;
                case IOException io -> throw io;
                default -> throw new IllegalStateException(e.getCause());
            }
        }
    }

    private static List<Finding> layer(Checkpoint c, Layouts layouts, String layer) {
        List<Finding> out = new ArrayList<>();
        try (Arena arena = Arena.ofShared()) {
            Checkpoint window = c.window(arena);
            layouts.layout(layer).remarks(window, layer).forEach(r -> out.add(new Finding(layer, r)));
            QuantizedMatrix m = layouts.layout(layer).read(window, layer, arena);
            Scales.check(m, layer, !(layouts.layout(layer) instanceof GgufLayout), out);
        } catch (CheckpointException e) {
            out.add(new Finding(layer, reason(c, e)));
        } catch (IllegalArgumentException | ArithmeticException e) {
            out.add(new Finding(layer, e.getMessage()));
        }
        return out;
    }

    private static String reason(Checkpoint c, CheckpointException e) {
        String text = e.getMessage();
        String prefix = c.path() + ": ";
        return text.startsWith(prefix) ? text.substring(prefix.length()) : text;
    }

    private static void missing(Checkpoint c, List<Finding> out) {
        Set<Finding> found = new LinkedHashSet<>();
        for (String name : c.names()) {
            for (String[] pair : COMPANIONS) {
                if (name.endsWith(pair[0])) {
                    String layer = name.substring(0, name.length() - pair[0].length());
                    boolean there = java.util.Arrays.stream(pair[1].split("\\|")).anyMatch(part -> c.has(layer + part));
                    if (!there && !layer.isEmpty()) {
                        found.add(new Finding(layer, "has " + pair[0].substring(1) + " but no " + pair[1].substring(1).replace("|.", " or ")));
                    }
                }
            }
            if (name.endsWith(".weight") && (c.tensor(name).dtype() == DType.F8_E4M3 || c.tensor(name).dtype() == DType.F8_E5M2)) {
                String layer = name.substring(0, name.length() - ".weight".length());
                if (!c.has(layer + ".weight_scale") && !c.has(layer + ".weight_scale_inv")) {
                    found.add(new Finding(layer, "its FP8 weights have neither weight_scale nor weight_scale_inv"));
                }
            }
        }
        out.addAll(found);
    }

    private static void configuration(Checkpoint c, Layouts layouts, List<Finding> out) {
        c.quantizationConfig().ifPresent(config -> {
            if (config.get("quant_method") instanceof io.lowbit.checkpoint.json.JsonValue.Text method && layouts.layers().isEmpty()) {
                out.add(new Finding("quantization_config", "says " + CheckpointException.quote(method.value()) + ", but no layer is stored so"));
            }
        });
    }

    private static List<Finding> plain(Checkpoint c, String name) {
        try (Arena arena = Arena.ofShared()) {
            Tensor t = c.window(arena).tensor(name);
            long bad = 0;
            long first = -1;
            for (long i = 0; i < t.elements(); i++) {
                if (!Float.isFinite(t.getFloat(i))) {
                    first = bad++ == 0 ? i : first;
                }
            }
            return bad == 0 ? List.of() : List.of(new Finding(name, bad + " of its " + t.elements() + " elements are NaN or infinite, the first at " + first));
        }
    }
}
