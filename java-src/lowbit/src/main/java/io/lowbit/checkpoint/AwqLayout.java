package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * AutoAWQ, 4 bits with zero points.
 * <pre>
 *           qweight              qzeros                scales
 * GEMM      I32 [K, N/8]         I32 [G, N/8]          F16 [G, N]         fields of a word: outputs 0 2 4 6 1 3 5 7
 * GEMV      I32 [N, K/8]         I32 [N, Z]            F16 [N, 8·Z]       in order along K and groups, padded to Z words
 * </pre>
 * Zero points are stored as they are.
 */
final class AwqLayout implements Layout {
    private static final String GEMV = "awq_gemv";

    private final String name;

    AwqLayout() {
        this("awq");
    }

    /** @param name {@code awq} writes GEMM, {@code awq_gemv} GEMV; either reads both */
    AwqLayout(String name) {
        this.name = name;
    }

    @Override
    public String name() {
        return name;
    }

    private boolean gemv() {
        return name.equals(GEMV);
    }

    /** Z, words of zero points a row, as AutoAWQ pads them for its kernels. */
    private static long zeroWords(Scheme.Int4 s, long k) {
        long words = Math.ceilDiv(s.grouping().scaleCols(k), 8L);
        long multiple = !(s.grouping() instanceof Grouping.PerGroup g) || g.size() >= 128 ? 1 : g.size() == 64 ? 2 : 4;
        return Math.ceilDiv(words, multiple) * multiple;
    }

    /** True where the shapes of a layer's parts are AWQ's and not GPTQ's. */
    static boolean claims(Checkpoint c, String layer) {
        if (!c.has(layer + ".scales") || !c.has(layer + ".qzeros") || c.has(layer + ".g_idx")) {
            return false;
        }
        Shape words = c.tensor(layer + ".qweight").shape();
        Shape scales = c.tensor(layer + ".scales").shape();
        if (words.rank() != 2 || scales.rank() != 2) {
            return false;
        }
        boolean gemv = words.dim(0) == scales.dim(0) && scales.dim(0) != 0 && words.dim(1) != scales.dim(1);
        return isGemm(words, scales) || gemv;
    }

    private static boolean isGemm(Shape words, Shape scales) {
        return words.dim(1) * 8 == scales.dim(1) && words.dim(0) >= scales.dim(0) && words.dim(1) > 0;
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        for (String tensor : c.names()) {
            if (tensor.endsWith(".qweight")) {
                String layer = tensor.substring(0, tensor.length() - ".qweight".length());
                if (claims(c, layer)) {
                    out.put(layer, Layout.present(c, layer, ".qweight", ".qzeros", ".scales"));
                }
            }
        }
        return out;
    }

    private record Parts(boolean gemm, long n, long k, long groups, Scheme.Int4 scheme) {}

    private static Parts parts(Checkpoint c, String layer) {
        Tensor words = c.tensor(layer + ".qweight");
        Tensor scales = c.tensor(layer + ".scales");
        Tensor zeros = c.tensor(layer + ".qzeros");
        boolean gemm = isGemm(words.shape(), scales.shape());
        if (words.dtype() != DType.I32 || zeros.dtype() != DType.I32 || scales.dtype() != DType.F16 && scales.dtype() != DType.BF16) {
            throw Layout.wrong(c, layer, "its qweight, qzeros and scales are " + words.dtype() + ", " + zeros.dtype() + ", " + scales.dtype()
                    + "; expected I32, I32, F16");
        }
        long n = gemm ? scales.dim(1) : words.dim(0);
        long k = gemm ? words.dim(0) : Math.multiplyExact(words.dim(1), 8L);
        long configured = configured(c, layer, gemm);
        long groups = gemm ? scales.dim(0) : configured == -1 ? 1 : configured > 0 ? Math.ceilDiv(k, configured) : 0;
        if (!gemm && groups == 0) {
            throw new CheckpointException(Fault.LAYOUT, c.path() + ": layer " + CheckpointException.quote(layer),
                    "GEMV pads its groups, so only a configuration tells their size", "give the model's configuration with --config");
        }
        Shape expected = gemm ? Shape.of(groups, n / 8) : Shape.of(n, scales.dim(1) / 8);
        boolean fits = gemm ? n % 8 == 0 && k % groups == 0 : scales.dim(1) % 8 == 0 && scales.dim(1) >= groups;
        if (!fits || !zeros.shape().equals(expected)) {
            throw Layout.wrong(c, layer, "its qweight " + words.shape() + ", qzeros " + zeros.shape() + " and scales " + scales.shape() + " do not fit together");
        }
        Grouping grouping = GroupSizes.of(c, layer, k, groups, List.of(configured, groups > 0 && k % groups == 0 && groups > 1 ? k / groups : 0L), null);
        return new Parts(gemm, n, k, groups, new Scheme.Int4(grouping, false, scales.dtype()));
    }

    /** The group size; 0 where nothing is said. */
    private static long configured(Checkpoint c, String layer, boolean gemm) {
        JsonObject config = c.quantizationConfig().orElse(null);
        if (config == null) {
            return 0;
        }
        try {
            long bits = config.integer("bits", config.integer("w_bit", 4));
            String version = config.text("version", gemm ? "gemm" : "gemv").toLowerCase(java.util.Locale.ROOT);
            if (bits != 4 || !version.equals(gemm ? "gemm" : "gemv") || !config.bool("zero_point", true)) {
                throw new CheckpointException(Fault.UNSUPPORTED, c.path() + ": layer " + CheckpointException.quote(layer), "AWQ version "
                        + CheckpointException.quote(version) + " with " + bits + " bits" + (config.bool("zero_point", true) ? "" : ", without zero points")
                        + (version.startsWith("gem") ? ", in tensors of version " + (gemm ? "gemm" : "gemv") : "") + "; Lowbit reads gemm and gemv with 4 bits and zero points",
                        "convert the checkpoint with AutoAWQ first");
            }
            return config.integer("group_size", config.integer("q_group_size", 0));
        } catch (JsonException e) {
            throw new CheckpointException(Fault.LAYOUT, c.path().toString(), "quantization_config: " + e.getMessage(), "repair the configuration", e);
        }
    }

    @Override
    public LayerInfo describe(Checkpoint c, String layer) {
        Parts p = parts(c, layer);
        return new LayerInfo(p.scheme, p.n, p.k, p.scheme.scaleType());
    }

    @Override
    public QuantizedMatrix read(Checkpoint c, String layer, Arena arena) {
        Parts p = parts(c, layer);
        Tensor words = c.tensor(layer + ".qweight");
        Tensor zeros = c.tensor(layer + ".qzeros");
        Tensor scales = c.tensor(layer + ".scales");
        if (p.gemm) {
            return QuantizedMatrix.int4(p.scheme, p.n, p.k, PackedWords.transposeNibbles(words, PackedWords.AWQ_FIELD, arena),
                    PackedWords.transpose(scales, arena), PackedWords.transposeNibbles(zeros, PackedWords.AWQ_FIELD, arena));
        }
        Tensor codes = new Tensor(DType.U8, Shape.of(p.n, p.k / 2), words.data());
        Tensor cutScales = cut(scales, 2 * p.groups, p.groups, arena);
        Tensor cutZeros = cut(new Tensor(DType.U8, Shape.of(p.n, zeros.dim(1) * 4), zeros.data()), Math.ceilDiv(p.groups, 2L), Math.ceilDiv(p.groups, 2L), arena);
        for (long row = 0; (p.groups & 1) == 1 && row < p.n; row++) {
            long last = (row + 1) * cutZeros.dim(1) - 1;
            cutZeros.data().set(ValueLayout.JAVA_BYTE, last, (byte) (cutZeros.getByte(last) & 15));
        }
        return QuantizedMatrix.int4(p.scheme, p.n, p.k, codes, cutScales, cutZeros);
    }

    /** The first bytes of each row. */
    private static Tensor cut(Tensor t, long bytes, long columns, Arena arena) {
        Tensor out = Tensor.allocate(arena, t.dtype(), t.dim(0), columns);
        long from = t.dim(0) == 0 ? 0 : t.data().byteSize() / t.dim(0);
        for (long row = 0; row < t.dim(0); row++) {
            MemorySegment.copy(t.data(), row * from, out.data(), row * bytes, bytes);
        }
        return out;
    }

    /** Each row with zeros behind it, up to {@code columns} elements of {@code dtype}. */
    private static Tensor padded(Tensor t, DType dtype, long columns, Arena arena) {
        long n = t.dim(0);
        Tensor out = Tensor.allocate(arena, dtype, n, columns);
        long bytes = n == 0 ? 0 : t.data().byteSize() / n;
        long to = n == 0 ? 0 : out.data().byteSize() / n;
        for (long row = 0; row < n; row++) {
            MemorySegment.copy(t.data(), row * bytes, out.data(), row * to, bytes);
        }
        return out;
    }

    @Override
    public String refusal(LayerInfo info) {
        Scheme scheme = info.scheme();
        long n = info.n();
        long k = info.k();
        if (!(scheme instanceof Scheme.Int4 s)) {
            return "it holds INT4 only";
        }
        if (info.actOrder()) {
            return "it has no place for act-order";
        }
        if (s.symmetric()) {
            return "it holds INT4 with zero points only; use --asymmetric";
        }
        if (gemv() && k % 8 != 0) {
            return "K = " + k + " is no multiple of 8, which its words demand; --exclude the layer";
        }
        if (gemv() && s.grouping() instanceof Grouping.PerGroup g && g.size() < 128 && g.size() != 64 && g.size() != 32) {
            return "it has groups of 32, 64, 128 and more; use --group 128 or layout awq";
        }
        if (!gemv() && n % 8 != 0) {
            return "N = " + n + " is no multiple of 8, which its words demand; --exclude the layer";
        }
        if (s.scaleType() == DType.F32) {
            return "its scales are F16; use --scale-type f16";
        }
        if (s.grouping() == Grouping.TENSOR) {
            return "it has no scale for a whole tensor; use --group channel or a number";
        }
        return s.grouping() instanceof Grouping.PerGroup g && k % g.size() != 0 ? "K = " + k + " is no multiple of the group " + g.size() + ", which it demands" : null;
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        Scheme scheme = info.scheme();
        long n = info.n();
        long k = info.k();
        Scheme.Int4 s = (Scheme.Int4) scheme;
        long groups = s.grouping().scaleCols(k);
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        if (gemv()) {
            long z = zeroWords(s, k);
            out.put(layer + ".qweight", TensorSpec.of(DType.I32, n, k / 8));
            out.put(layer + ".qzeros", TensorSpec.of(DType.I32, n, z));
            out.put(layer + ".scales", TensorSpec.of(s.scaleType(), n, 8 * z));
            return out;
        }
        out.put(layer + ".qweight", TensorSpec.of(DType.I32, k, n / 8));
        out.put(layer + ".qzeros", TensorSpec.of(DType.I32, groups, n / 8));
        out.put(layer + ".scales", TensorSpec.of(s.scaleType(), groups, n));
        return out;
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, LayerInfo info, Arena arena) {
        require(m, info);
        Map<String, Tensor> out = new LinkedHashMap<>();
        if (gemv()) {
            long z = zeroWords((Scheme.Int4) m.scheme(), m.k());
            out.put(layer + ".qweight", new Tensor(DType.I32, Shape.of(m.n(), m.k() / 8), m.codes().data()));
            out.put(layer + ".qzeros", padded(m.zeros(), DType.I32, z, arena));
            out.put(layer + ".scales", padded(m.scales(), m.scales().dtype(), 8 * z, arena));
            return out;
        }
        out.put(layer + ".qweight", PackedWords.packNibbles(m.codes(), m.k(), PackedWords.AWQ_FIELD, arena));
        out.put(layer + ".qzeros", PackedWords.packNibbles(m.zeros(), m.scales().dim(1), PackedWords.AWQ_FIELD, arena));
        out.put(layer + ".scales", PackedWords.transpose(m.scales(), arena));
        return out;
    }

    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        Scheme scheme = uniform(layers).scheme();
        Scheme.Int4 s = (Scheme.Int4) scheme;
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("quant_method", "awq");
        out.put("bits", 4);
        out.put("group_size", s.grouping() instanceof Grouping.PerGroup g ? g.size() : -1);
        out.put("zero_point", true);
        out.put("version", gemv() ? "gemv" : "gemm");
        out.put("modules_to_not_convert", skipped.isEmpty() ? null : skipped);
        return out;
    }
}
