package io.lowbit.checkpoint;

import io.lowbit.format.Float8;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;

/** The same weights in the form that another layout can hold: zero points spelt out, scales repeated, scale types changed where exact. */
final class Lossless {
    private Lossless() {}

    /** What a matrix of {@code info} would become in {@code target}; {@code info} itself where nothing has to change. */
    static LayerInfo wanted(LayerInfo info, Layout target, boolean plainScales) {
        Scheme scheme = switch (info.scheme()) {
            case Scheme.Int4 s -> int4(s, info.k(), target.name());
            case Scheme.Bnb4 s -> new Scheme.Bnb4(s.codebook(), s.blockSize(), s.doubleQuant() && !plainScales);
            default -> info.scheme();
        };
        boolean sorted = info.actOrder();
        return new LayerInfo(scheme, info.n(), info.k(), info.dtype(), info.experts(), sorted);
    }

    private static Scheme.Int4 int4(Scheme.Int4 s, long k, String target) {
        Grouping whole = s.grouping() == Grouping.TENSOR ? Grouping.CHANNEL : s.grouping();
        return switch (target) {
            case "awq", "awq_gemv" -> new Scheme.Int4(whole, false, s.scaleType() == DType.F32 ? DType.F16 : s.scaleType());
            case "gguf" -> new Scheme.Int4(k % 32 == 0 ? Grouping.group(32) : whole, true, DType.F16);
            case "gptq", "gptq_v1", "gptq_v2" -> new Scheme.Int4(whole, s.symmetric(), s.scaleType());
            default -> s.symmetric() ? s : new Scheme.Int4(whole, false, s.scaleType());
        };
    }

    /**
     * {@code m} as a matrix of {@code wanted}, with the same value for every weight.
     *
     * @throws LossyException where there is none
     */
    static QuantizedMatrix to(String layer, QuantizedMatrix m, LayerInfo wanted, Layout target, Arena arena) {
        return switch (m.scheme()) {
            case Scheme.Int4 _ -> int4(layer, m, (Scheme.Int4) wanted.scheme(), arena);
            case Scheme.Bnb4 s when s.doubleQuant() && !((Scheme.Bnb4) wanted.scheme()).doubleQuant() -> plain(m, (Scheme.Bnb4) wanted.scheme(), arena);
            case Scheme.Nvfp4 _ -> nvfp4(layer, m, target);
            default -> m;
        };
    }

    private static QuantizedMatrix plain(QuantizedMatrix m, Scheme.Bnb4 scheme, Arena arena) {
        Tensor absmax = Tensor.allocate(arena, DType.F32, m.nested().codes().elements());
        for (long i = 0; i < absmax.elements(); i++) {
            absmax.setFloat(i, m.nested().scale(i));
        }
        return QuantizedMatrix.bnb4(scheme, m.n(), m.k(), m.codes(), absmax);
    }

    private static QuantizedMatrix int4(String layer, QuantizedMatrix m, Scheme.Int4 to, Arena arena) {
        Scheme.Int4 from = (Scheme.Int4) m.scheme();
        if (from.equals(to)) {
            return m;
        }
        boolean sameGrid = from.grouping().equals(to.grouping());
        if (!sameGrid && m.groups() != null) {
            throw new LossyException(layer, "its columns are in groups of their own order (act-order), which the layout has no place for",
                    "dequantize it, and lowbit quantize the result");
        }
        if (!sameGrid && from.grouping() instanceof Grouping.PerGroup a && to.grouping() instanceof Grouping.PerGroup b && a.size() % b.size() != 0) {
            throw new LossyException(layer, "groups of " + a.size() + " are no multiple of " + b.size(), "dequantize it, and lowbit quantize --scheme int4 --group " + b.size());
        }
        long rows = to.grouping().scaleRows(m.n());
        long groups = to.grouping().scaleCols(m.k());
        long step = to.grouping() instanceof Grouping.PerGroup g ? g.size() : m.k();
        boolean index = m.groups() != null;
        Tensor scales = m.scales();
        if (!sameGrid || from.scaleType() != to.scaleType()) {
            scales = Tensor.allocate(arena, to.scaleType(), rows, groups);
            for (long row = 0; row < rows; row++) {
                for (long g = 0; g < groups; g++) {
                    float scale = index ? m.scales().getFloat(row * groups + g) : m.scale(row, g * step);
                    scales.setFloat(row * groups + g, scale);
                    if (Float.floatToRawIntBits(scales.getFloat(row * groups + g)) != Float.floatToRawIntBits(scale)) {
                        throw new LossyException(layer, "its scale " + scale + " is " + from.scaleType() + " and no " + to.scaleType(),
                                "dequantize it, and lowbit quantize --scheme int4 with " + to.scaleType() + " scales");
                    }
                }
            }
        }
        Tensor zeros = zeros(layer, m, to, rows, groups, step, sameGrid, arena);
        return QuantizedMatrix.int4(to, m.n(), m.k(), m.codes(), scales, zeros, m.groups());
    }

    private static Tensor zeros(String layer, QuantizedMatrix m, Scheme.Int4 to, long rows, long groups, long step, boolean sameGrid, Arena arena) {
        if (m.zeros() == null && to.symmetric()) {
            return null;
        }
        if (to.symmetric()) {
            long perRow = m.scales().dim(1);
            for (long row = 0; row < m.scales().dim(0); row++) {
                for (long g = 0; g < perRow; g++) {
                    int zero = m.zeros().getByte(row * m.zeros().dim(1) + (g >>> 1)) >>> 4 * (int) (g & 1) & 15;
                    if (zero != 8) {
                        throw new LossyException(layer, "it has zero points, one of them " + zero + " in row " + row + "; the layout has none",
                                "dequantize it, and lowbit quantize --scheme int4");
                    }
                }
            }
            return null;
        }
        if (m.zeros() != null && sameGrid) {
            return m.zeros();
        }
        long rowBytes = Math.ceilDiv(groups, 2L);
        Tensor out = Tensor.allocate(arena, DType.U8, rows, rowBytes);
        for (long row = 0; row < rows; row++) {
            for (long g = 0; g < groups; g++) {
                int zero = m.zeros() == null ? 8 : m.zero(row, g * step);
                long at = row * rowBytes + (g >>> 1);
                out.data().set(ValueLayout.JAVA_BYTE, at, (byte) (out.getByte(at) | zero << 4 * (int) (g & 1)));
            }
        }
        return out;
    }

    /** compressed-tensors divides by its scale of the matrix, the others multiply; GGUF has none. */
    private static QuantizedMatrix nvfp4(String layer, QuantizedMatrix m, Layout target) {
        boolean divided = !Float.isNaN(m.tensorDivisor());
        boolean wantsDivisor = target.name().equals("compressed-tensors");
        float guess = target.name().equals("gguf") ? 1f : 1f / (divided ? m.tensorDivisor() : m.tensorScale());
        if (divided == wantsDivisor && !target.name().equals("gguf")) {
            return m;
        }
        float[] candidates = target.name().equals("gguf") ? new float[] {1f} : new float[] {guess, Math.nextDown(guess), Math.nextUp(guess)};
        for (float candidate : candidates) {
            if (candidate > 0 && Float.isFinite(candidate) && sameFactors(m, candidate, wantsDivisor)) {
                return wantsDivisor ? QuantizedMatrix.nvfp4Divided(m.n(), m.k(), m.codes(), m.scales(), candidate)
                        : QuantizedMatrix.nvfp4(m.n(), m.k(), m.codes(), m.scales(), candidate);
            }
        }
        throw new LossyException(layer, "its scale of the matrix " + (divided ? "divides by " + m.tensorDivisor() : "multiplies with " + m.tensorScale())
                + ", and no " + (target.name().equals("gguf") ? "scale of 1" : wantsDivisor ? "divisor" : "multiplier") + " gives the same products",
                "dequantize it, and lowbit quantize --scheme nvfp4 --layout " + target.name());
    }

    private static boolean sameFactors(QuantizedMatrix m, float candidate, boolean divides) {
        boolean[] used = new boolean[256];
        for (long i = 0; i < m.scales().elements(); i++) {
            used[m.scales().getByte(i)] = true;
        }
        for (int code = 0; code < 256; code++) {
            float block = Float8.E4M3.decode(code);
            float was = Float.isNaN(m.tensorDivisor()) ? m.tensorScale() * block : block / m.tensorDivisor();
            float now = divides ? block / candidate : candidate * block;
            if (used[code] && Float.floatToRawIntBits(was) != Float.floatToRawIntBits(now)) {
                return false;
            }
        }
        return true;
    }
}
