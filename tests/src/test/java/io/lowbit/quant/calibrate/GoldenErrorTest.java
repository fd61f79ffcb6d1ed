package io.lowbit.quant.calibrate;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.format.GoldenFile;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Output errors on the reference weights and inputs, against GPTQModel's and AutoAWQ's: at most 1 % above. */
class GoldenErrorTest {
    private static final GoldenFile FILE = GoldenFile.open("gptq-algorithm.safetensors");
    private static final Tensor W = FILE.get("W");
    private static final Tensor X = FILE.get("X");
    private static final Hessian HESSIAN = hessian();

    private static Hessian hessian() {
        Hessian h = new Hessian(512);
        h.add(X, 2);
        return h;
    }

    private static Scheme.Int4 scheme(boolean symmetric) {
        return new Scheme.Int4(Grouping.group(128), symmetric, DType.F32);
    }

    @ParameterizedTest(name = "rounding, symmetric {0}")
    @ValueSource(booleans = {true, false})
    void rounding(boolean symmetric) {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = Quantizer.quantize(W, scheme(symmetric), QuantizeOptions.DEFAULT, arena);
            check("rtn", "err.rtn." + type(symmetric), m, null, true);
        }
    }

    @ParameterizedTest(name = "GPTQ, symmetric {0}")
    @ValueSource(booleans = {true, false})
    void gptq(boolean symmetric) {
        try (Arena arena = Arena.ofShared()) {
            GptqResult r = Gptq.quantize(W, scheme(symmetric), HESSIAN, GptqOptions.DEFAULT, arena);
            check("gptq", "err.gptq." + type(symmetric) + ".noact.cpu", r.matrix(), null, true);
            GptqResult act = Gptq.quantize(W, scheme(symmetric), HESSIAN, GptqOptions.DEFAULT.withActOrder(true), arena);
            check("gptq act-order", "err.gptq." + type(symmetric) + ".actorder.cpu", act.matrix(), null, true);
            GptqResult fixed = Gptq.quantize(W, scheme(symmetric), HESSIAN, GptqOptions.DEFAULT.withActOrder(true).withStaticGroups(true), arena);
            check("gptq static groups", "err.gptq." + type(symmetric) + ".noact.cpu", fixed.matrix(), null, false);
        }
    }

    @ParameterizedTest(name = "AWQ, symmetric {0}")
    @ValueSource(booleans = {true, false})
    void awq(boolean symmetric) {
        for (boolean duo : new boolean[] {true, false}) {
            for (boolean clip : new boolean[] {false, true}) {
                AwqOptions options = AwqOptions.DEFAULT.withDuo(duo).withClip(clip);
                AwqScales s = Awq.search(List.of(W), scheme(symmetric), HESSIAN, options);
                try (Arena arena = Arena.ofShared()) {
                    QuantizedMatrix m = Awq.quantize(W, s.scales(), scheme(symmetric), HESSIAN, options, arena);
                    check("awq duo " + duo + " clip " + clip + " ratio " + s.ratio() + " " + Math.sqrt(s.error()),
                            "err.awq." + type(symmetric) + (duo ? ".duo" : ".xonly") + ".cuda" + (clip ? ".clip" : ""), m, s.scales(), true);
                }
            }
        }
    }

    @ParameterizedTest(name = "HQQ, symmetric {0}")
    @ValueSource(booleans = {true, false})
    void hqq(boolean symmetric) {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = Hqq.quantize(W, scheme(symmetric), HqqOptions.DEFAULT, arena);
            check("hqq", "err.rtn." + type(symmetric), m, null, true);
        }
    }

    private static String type(boolean symmetric) {
        return symmetric ? "sym" : "asym";
    }

    private static void check(String what, String reference, QuantizedMatrix m, float[] scales, boolean compare) {
        double error = error(m, scales);
        Tensor t = FILE.get(reference);
        double expected = Double.longBitsToDouble(t.data().get(java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED, 0));
        System.out.printf("%-40s %s: output error %.5f, reference %.5f%n", what, m.scheme().label(), error, expected);
        if (compare) {
            assertTrue(error <= expected * 1.01, what + ": output error " + error + ", reference " + expected);
        }
    }

    /** ‖XWᵀ − XŴᵀ‖ / ‖XWᵀ‖ in f64. */
    private static double error(QuantizedMatrix m, float[] scales) {
        int n = (int) W.dim(0);
        int k = (int) W.dim(1);
        int rows = (int) X.dim(0);
        double noise = 0;
        double signal = 0;
        double[][] x = new double[rows][k];
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < k; c++) {
                x[r][c] = X.getFloat((long) r * k + c);
            }
        }
        double[] w = new double[k];
        double[] q = new double[k];
        for (int i = 0; i < n; i++) {
            for (int c = 0; c < k; c++) {
                w[c] = W.getFloat((long) i * k + c);
                q[c] = m.value(i, c) / (scales == null ? 1.0 : scales[c]);
            }
            for (int r = 0; r < rows; r++) {
                double y = 0;
                double z = 0;
                for (int c = 0; c < k; c++) {
                    y += x[r][c] * w[c];
                    z += x[r][c] * q[c];
                }
                noise += (y - z) * (y - z);
                signal += y * y;
            }
        }
        return Math.sqrt(noise / signal);
    }
}
