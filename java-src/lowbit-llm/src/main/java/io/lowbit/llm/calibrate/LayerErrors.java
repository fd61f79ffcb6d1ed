package io.lowbit.llm.calibrate;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.Session;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How far each quantized layer's output is from the original's on the same inputs, those of the unchanged model on some
 * windows of text: ‖ŷ − y‖² / ‖y‖².
 */
public final class LayerErrors implements AutoCloseable {
    private final Backend backend;
    private final LlamaModel model;
    private final int[][] windows;

    /** @param windows the first so many of the text */
    public LayerErrors(Path folder, Backend backend, CalibrationText text, int windows, int threads) throws IOException {
        this.backend = backend;
        this.windows = Arrays.copyOf(text.windows(), Math.min(windows, text.windows().length));
        this.model = LlamaModel.load(folder, new TappedBackend(backend), null, QuantizeOptions.DEFAULT.withThreads(threads));
    }

    /** Names of the layers, in the order of {@link #of}'s results. */
    public List<String> layers() {
        return List.copyOf(model.linears().keySet());
    }

    /** Errors by layer name; layers that were not quantized are absent. */
    public Map<String, Double> of(CalibratedModel quantized) {
        Map<String, Probe> probes = new LinkedHashMap<>();
        try {
            quantized.layers().forEach((name, matrix) -> {
                Tap tap = (Tap) model.linears().get(name);
                // products without bias: it is the same on both sides
                Probe probe = new Probe(tap, backend.load(matrix), quantized.divisors().get(name), quantized.outputs().get(name));
                probes.put(name, probe);
                tap.compare(probe);
            });
            try (Session session = model.newSession(windows[0].length)) {
                for (int[] window : windows) {
                    session.reset();
                    session.append(window);
                }
            }
        } finally {
            probes.forEach((name, probe) -> {
                ((Tap) model.linears().get(name)).compare(null);
                probe.quantized.close();
            });
        }
        Map<String, Double> out = new LinkedHashMap<>();
        probes.forEach((name, probe) -> out.put(name, probe.signal == 0 ? 0 : probe.noise / probe.signal));
        return out;
    }

    /** Multiplies what a layer multiplies, too, and compares. */
    private static final class Probe implements Tap.Comparison {
        private final Tap original;
        private final Linear quantized;
        private final float[] divisors;
        private final float[] outputs;
        private double noise;
        private double signal;

        Probe(Tap original, Linear quantized, float[] divisors, float[] outputs) {
            this.original = original;
            this.quantized = quantized;
            this.divisors = divisors;
            this.outputs = outputs;
        }

        @Override
        public void see(Tensor x, Tensor y) {
            int n = (int) original.outFeatures();
            try (Arena arena = Arena.ofShared()) {
                Tensor other = Tensor.allocate(arena, DType.F32, y.shape().dims());
                quantized.forward(Tap.divided(x, divisors, arena), other);
                float[] a = new float[n];
                float[] b = new float[n];
                for (long r = 0; r < y.dim(0); r++) {
                    y.readFloats(r * n, a, 0, n);
                    other.readFloats(r * n, b, 0, n);
                    for (int i = 0; i < n; i++) {
                        double d = (outputs == null ? b[i] : b[i] * outputs[i]) - a[i];
                        noise += d * d;
                        signal += (double) a[i] * a[i];
                    }
                }
            }
        }
    }

    @Override
    public void close() {
        model.close();
    }
}
