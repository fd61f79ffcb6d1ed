package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * GPTQ (AutoGPTQ, GPTQModel), 4 bits: {@code qweight} I32 {@code [K/8, N]} packed along K, {@code qzeros} I32
 * {@code [G, N/8]}, {@code scales} {@code [G, N]}, {@code g_idx} I32 {@code [K]}.
 *
 * <p>Version 1 (and files that name none) stores zero points less one, version 2 as they are. Which one a file is
 * follows from its zero points where these are all eights or all sevens, whatever its label says; else from the label.
 * Where a version-1 file stores a 15, readers disagree: see {@link ReadOptions.GptqZeros}.
 */
final class GptqLayout implements Layout {
    private static final int SEVENS = 0x77777777;
    private static final int EIGHTS = 0x88888888;

    private final String name;

    /** @param name {@code gptq}: version 1 for symmetric matrices, else 2; or {@code gptq_v1}, {@code gptq_v2} */
    GptqLayout(String name) {
        this.name = name;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        for (String tensor : c.names()) {
            if (tensor.endsWith(".qweight")) {
                String layer = tensor.substring(0, tensor.length() - ".qweight".length());
                if (!AwqLayout.claims(c, layer)) {
                    out.put(layer, Layout.present(c, layer, ".qweight", ".qzeros", ".scales", ".g_idx"));
                }
            }
        }
        return out;
    }

    private record Parts(GptqConfig config, long n, long k, Scheme.Int4 scheme, Tensor index, boolean v2) {}

    @Override
    public QuantizedMatrix read(Checkpoint c, String layer, Arena arena) {
        Parts p = parts(c, layer);
        Tensor words = c.tensor(layer + ".qweight");
        // A word holds eight neighbours along K, lowest first: a transposed word is four bytes of a canonical row.
        Tensor codes = new Tensor(DType.U8, Shape.of(p.n, p.k / 2), PackedWords.transpose32(words.data(), p.k / 8, p.n, arena));
        Tensor scales = PackedWords.transpose(c.tensor(layer + ".scales"), arena);
        Tensor zeros = p.scheme.symmetric() ? null
                : PackedWords.transposeNibbles(zeros(c, layer, p.v2, c.readOptions().gptqZeros(), arena), PackedWords.IN_ORDER, arena);
        return QuantizedMatrix.int4(p.scheme, p.n, p.k, codes, scales, zeros, p.index);
    }

    @Override
    public LayerInfo describe(Checkpoint c, String layer) {
        Parts p = parts(c, layer);
        return new LayerInfo(p.scheme, p.n, p.k, c.tensor(layer + ".scales").dtype(), 1, p.index != null);
    }

    private static Parts parts(Checkpoint c, String layer) {
        GptqConfig config = GptqConfig.of(c, layer);
        Tensor words = c.tensor(layer + ".qweight");
        Tensor scales = c.tensor(layer + ".scales");
        Tensor zeros = c.tensor(layer + ".qzeros");
        refuseOthers(c, layer, config, words);
        if (words.dtype() != DType.I32 || words.shape().rank() != 2) {
            throw Layout.wrong(c, layer, "its qweight is " + TensorSpec.of(words) + ", expected I32 [K/8, N]");
        }
        long k = Math.multiplyExact(words.dim(0), 8L);
        long n = words.dim(1);
        boolean typed = scales.dtype() == DType.F16 || scales.dtype() == DType.BF16 || scales.dtype() == DType.F32;
        if (!typed || scales.shape().rank() != 2 || scales.dim(1) != n || scales.dim(0) < 1) {
            throw Layout.wrong(c, layer, "its scales are " + TensorSpec.of(scales) + ", expected F16 [groups, " + n + "]");
        }
        long groups = scales.dim(0);
        if (n % 8 != 0 || zeros.dtype() != DType.I32 || !zeros.shape().equals(Shape.of(groups, n / 8))) {
            throw Layout.wrong(c, layer, "its qzeros are " + TensorSpec.of(zeros) + ", expected I32 [" + groups + ", " + n / 8.0 + "]");
        }
        Tensor index = GroupSizes.index(c, layer, layer + ".g_idx", k, groups);
        Tensor stored = c.has(layer + ".g_idx") ? c.tensor(layer + ".g_idx") : null;
        long own = stored == null ? 0 : GroupSizes.largestGroup(stored, groups);
        Grouping grouping = GroupSizes.of(c, layer, k, groups, List.of(config.groupSize(), groups == 1 ? 0L : own), index);
        int same = uniform(zeros);
        boolean v2 = isV2(c, layer, config, same);
        boolean symmetric = !Boolean.FALSE.equals(config.sym()) && same == (v2 ? EIGHTS : SEVENS);
        return new Parts(config, n, k, new Scheme.Int4(grouping, symmetric, scales.dtype()), index, v2);
    }

    private static void refuseOthers(Checkpoint c, String layer, GptqConfig config, Tensor words) {
        long bits = config.bits();
        if (c.quantizationConfig().isEmpty() && c.has(layer + ".g_idx") && words.shape().rank() == 2) {
            long k = c.tensor(layer + ".g_idx").elements();
            bits = k > 0 && words.dim(0) * 32 % k == 0 ? words.dim(0) * 32 / k : bits;
        }
        if (bits != 4) {
            throw new CheckpointException(Fault.UNSUPPORTED, c.path() + ": layer " + CheckpointException.quote(layer), "GPTQ with " + bits
                    + " bits; Lowbit reads 4", "quantize the model with 4 bits");
        }
        String format = config.format();
        if (format != null && !format.equals("gptq") && !format.equals("gptq_v2")) {
            throw new CheckpointException(Fault.UNSUPPORTED, c.path() + ": layer " + CheckpointException.quote(layer), "checkpoint_format "
                    + CheckpointException.quote(format) + "; Lowbit reads gptq and gptq_v2", "convert the checkpoint with GPTQModel first");
        }
    }

    /** The word that all zero points are, or 0. */
    private static int uniform(Tensor zeros) {
        int first = zeros.elements() == 0 ? 0 : zeros.getInt(0);
        for (long i = 1; i < zeros.elements(); i++) {
            if (zeros.getInt(i) != first) {
                return 0;
            }
        }
        return first;
    }

    private static boolean isV2(Checkpoint c, String layer, GptqConfig config, int same) {
        boolean labelled = "gptq_v2".equals(config.format());
        if (Boolean.FALSE.equals(config.sym())) {
            return labelled;
        }
        if (same == EIGHTS || same == SEVENS) {
            return same == EIGHTS;
        }
        if (Boolean.TRUE.equals(config.sym())) {
            throw Layout.wrong(c, layer, "its configuration says sym, but its zero points are neither all 7 (version 1) nor all 8 (version 2)");
        }
        return labelled;
    }

    /** Zero points as they are meant, I32 {@code [G, N/8]}. */
    private static Tensor zeros(Checkpoint c, String layer, boolean v2, ReadOptions.GptqZeros rule, Arena arena) {
        Tensor stored = c.tensor(layer + ".qzeros");
        if (v2) {
            return stored;
        }
        Tensor out = Tensor.allocate(arena, DType.I32, stored.shape().dims());
        for (long i = 0; i < stored.elements(); i++) {
            int word = stored.getInt(i);
            out.data().set(PackedWords.INT, 4 * i, rule == ReadOptions.GptqZeros.WORD ? word + 0x11111111 : PackedWords.addToFields(word, 1));
        }
        return out;
    }

    @Override
    public List<String> remarks(Checkpoint c, String layer) {
        Parts p = parts(c, layer);
        List<String> out = new ArrayList<>();
        String format = p.config.format();
        if (p.v2 != "gptq_v2".equals(format)) {
            out.add("holds the zero points of version " + (p.v2 ? 2 : 1) + " under the label " + (format == null ? "of version 1 (none)" : format)
                    + "; read as version " + (p.v2 ? 2 : 1));
        }
        Tensor stored = c.tensor(layer + ".qzeros");
        long fifteens = 0;
        for (long i = 0; !p.v2 && i < stored.elements(); i++) {
            fifteens += PackedWords.hasFifteen(stored.getInt(i)) ? 1 : 0;
        }
        if (fifteens > 0) {
            out.add(fifteens + " of its " + stored.elements() + " words of zero points hold a 15, which version 1 writes for 0: readers disagree, "
                    + (c.readOptions().gptqZeros() == ReadOptions.GptqZeros.WORD ? "read word by word (as GPTQModel writes)" : "read field by field")
                    + "; the other reading is --gptq-zeros " + (c.readOptions().gptqZeros() == ReadOptions.GptqZeros.WORD ? "field" : "word"));
        }
        return out;
    }

    @Override
    public String refusal(LayerInfo info) {
        if (!(info.scheme() instanceof Scheme.Int4 s)) {
            return "it holds INT4 only";
        }
        if (info.n() % 8 != 0 || info.k() % 8 != 0) {
            return "N and K must be multiples of 8, which its words demand; --exclude the layer";
        }
        return s.grouping() == Grouping.TENSOR ? "it has no scale for a whole tensor; use --group channel or a number" : null;
    }

    private boolean writesV2(Scheme.Int4 scheme) {
        return name.equals("gptq_v2") || name.equals("gptq") && !scheme.symmetric();
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        Scheme scheme = info.scheme();
        long n = info.n();
        long k = info.k();
        Scheme.Int4 s = (Scheme.Int4) scheme;
        long groups = s.grouping().scaleCols(k);
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        out.put(layer + ".qweight", TensorSpec.of(DType.I32, k / 8, n));
        out.put(layer + ".qzeros", TensorSpec.of(DType.I32, groups, n / 8));
        out.put(layer + ".scales", TensorSpec.of(s.scaleType(), groups, n));
        out.put(layer + ".g_idx", TensorSpec.of(DType.I32, k));
        return out;
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, LayerInfo info, Arena arena) {
        require(m, info);
        Scheme.Int4 s = (Scheme.Int4) m.scheme();
        Map<String, TensorSpec> specs = specs(layer, info.with(m));
        Map<String, Tensor> out = new LinkedHashMap<>();
        long size = s.grouping() instanceof Grouping.PerGroup g ? g.size() : Math.max(1, m.k());
        out.put(layer + ".qweight", new Tensor(DType.I32, specs.get(layer + ".qweight").shape(),
                PackedWords.transpose32(m.codes().data(), m.n(), m.k() / 8, arena)));
        out.put(layer + ".qzeros", zeroWords(m, specs.get(layer + ".qzeros"), writesV2(s), arena));
        out.put(layer + ".scales", PackedWords.transpose(m.scales(), arena));
        out.put(layer + ".g_idx", GroupSizes.index(m.groups(), m.k(), size, arena));
        return out;
    }

    private static Tensor zeroWords(QuantizedMatrix m, TensorSpec spec, boolean v2, Arena arena) {
        if (m.zeros() == null) {
            Tensor out = Tensor.allocate(arena, DType.I32, spec.shape().dims());
            for (long i = 0; i < out.elements(); i++) {
                out.data().set(PackedWords.INT, 4 * i, v2 ? EIGHTS : SEVENS);
            }
            return out;
        }
        Tensor out = PackedWords.packNibbles(m.zeros(), spec.shape().dim(0), PackedWords.IN_ORDER, arena);
        for (long i = 0; !v2 && i < out.elements(); i++) {
            // By field: a zero point of 0 becomes 15 and borrows from nobody.
            out.data().set(PackedWords.INT, 4 * i, PackedWords.addToFields(out.getInt(i), -1));
        }
        return out;
    }

    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        Scheme scheme = uniform(layers).scheme();
        Scheme.Int4 s = (Scheme.Int4) scheme;
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("bits", 4);
        out.put("group_size", s.grouping() instanceof Grouping.PerGroup g ? g.size() : -1);
        out.put("desc_act", layers.values().stream().anyMatch(LayerInfo::actOrder));
        out.put("sym", s.symmetric());
        out.put("lm_head", false);
        out.put("quant_method", "gptq");
        out.put("checkpoint_format", writesV2(s) ? "gptq_v2" : "gptq");
        out.put("pack_dtype", "int32");
        out.put("true_sequential", true);
        if (!skipped.isEmpty()) {
            Map<String, Object> dynamic = new LinkedHashMap<>();
            skipped.forEach(l -> dynamic.put("-:^" + l.replace(".", "\\.") + "$", Map.of()));
            out.put("dynamic", dynamic);
        }
        return out;
    }
}
