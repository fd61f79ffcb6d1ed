package io.lowbit.checkpoint;

import io.lowbit.format.E8M0;
import io.lowbit.format.GgmlBlock;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import java.util.ArrayList;
import java.util.List;

/** Looks over a matrix's scales, and over codes that are no numbers. */
final class Scales {
    private static final String ZERO = " scales are 0 over weights that are not all alike";

    private Scales() {}

    /**
     * NaN, infinite and zero scales; FP8 codes that are NaN or infinite.
     *
     * @param zeros whether scales of 0 over weights that differ count: ggml makes them of tiny rows
     */
    static void check(QuantizedMatrix m, String layer, boolean zeros, List<Verifier.Finding> out) {
        List<Verifier.Finding> all = new ArrayList<>();
        check(m, layer, all);
        all.stream().filter(f -> zeros || !f.what().contains(ZERO)).forEach(out::add);
    }

    private static void check(QuantizedMatrix m, String layer, List<Verifier.Finding> out) {
        switch (m.scheme()) {
            case Scheme.Ggml s -> blocks(m, s.block(), layer, out);
            case Scheme.Bnb4 s -> {
                long count = s.doubleQuant() ? m.nested().codes().elements() : m.scales().elements();
                grid(m, layer, out, count, i -> s.doubleQuant() ? m.nested().scale(i) : m.scales().getFloat(i), true);
            }
            case Scheme.Mxfp4 _ -> grid(m, layer, out, m.scales().elements(), i -> E8M0.decode(m.scales().getByte(i)), true);
            case Scheme.Mxfp8 s -> {
                grid(m, layer, out, m.scales().elements(), i -> E8M0.decode(m.scales().getByte(i)), true);
                codes(m, s.format(), layer, out);
            }
            case Scheme.Nvfp4 _ -> {
                nvfp4(m, layer, out);
                grid(m, layer, out, m.scales().elements(), i -> m.scale(i / m.scales().dim(1), i % m.scales().dim(1) * Scheme.Nvfp4.BLOCK), true);
            }
            case Scheme.Int4 s -> grid(m, layer, out, m.scales().elements(), i -> m.scales().getFloat(i), s.grouping() == Grouping.TENSOR || m.groups() != null);
            case Scheme.Fp8 s -> {
                grid(m, layer, out, m.scales().elements(), i -> m.scales().getFloat(i), true);
                codes(m, s.format(), layer, out);
            }
            case Scheme.Int8 _ -> grid(m, layer, out, m.scales().elements(), i -> m.scales().getFloat(i), true);
            case Scheme.Dense _ -> { }
        }
    }

    private interface Factors {
        float at(long index);
    }

    /** @param zeroIsFine whether blocks of zeros have a scale of 0 in the format, or groups are not told apart here */
    private static void grid(QuantizedMatrix m, String layer, List<Verifier.Finding> out, long count, Factors factors, boolean zeroIsFine) {
        long notFinite = 0;
        long zero = 0;
        long first = -1;
        long firstZero = -1;
        for (long i = 0; i < count; i++) {
            float f = factors.at(i);
            if (!Float.isFinite(f)) {
                first = notFinite++ == 0 ? i : first;
            } else if (f == 0 && (!zeroIsFine || count == 1 || differs(m, i, count))) {
                firstZero = zero++ == 0 ? i : firstZero;
            }
        }
        if (notFinite > 0) {
            out.add(new Verifier.Finding(layer, notFinite + " of its " + count + " scales are NaN or infinite, the first at " + first));
        }
        if (zero > 0) {
            out.add(new Verifier.Finding(layer, zero + " of its " + count + ZERO + ", the first at " + firstZero));
        }
    }

    /** True where the codes under scale {@code index} are not all the same: a block of zeros has one code. */
    private static boolean differs(QuantizedMatrix m, long index, long count) {
        long weights = m.n() * m.k();
        if (m.groups() != null || weights == 0) {
            return false;
        }
        long rows = m.scheme() instanceof Scheme.Fp8 s ? s.grouping().scaleRows(m.n()) : m.n();
        if (m.scheme() instanceof Scheme.Bnb4 s) {
            long from = index * s.blockSize();
            return differsFlat(m, from, Math.min(weights, from + s.blockSize()));
        }
        long cols = count / Math.max(1, rows);
        if (cols == 0 || m.scheme() instanceof Scheme.Fp8) {
            return true;
        }
        long row = index / cols;
        long width = Math.ceilDiv(m.k(), cols);
        long from = index % cols * width;
        return differsFlat(m, row * m.k() + from, row * m.k() + Math.min(m.k(), from + width));
    }

    private static boolean differsFlat(QuantizedMatrix m, long from, long to) {
        if (from >= to) {
            return false;
        }
        int first = m.code(from / m.k(), from % m.k()) & magnitude(m.scheme());
        for (long i = from; i < to; i++) {
            if ((m.code(i / m.k(), i % m.k()) & magnitude(m.scheme())) != first) {
                return true;
            }
        }
        return false;
    }

    /** Bits of a code without its sign, where zeros of both signs are codes. */
    private static int magnitude(Scheme scheme) {
        boolean signed = scheme instanceof Scheme.Mxfp4 || scheme instanceof Scheme.Nvfp4 || scheme instanceof Scheme.Bnb4 b && b.codebook() == Scheme.Codebook.FP4;
        return signed ? 7 : -1;
    }

    private static void nvfp4(QuantizedMatrix m, String layer, List<Verifier.Finding> out) {
        if (!Float.isFinite(m.tensorScale()) || m.tensorScale() <= 0) {
            out.add(new Verifier.Finding(layer, "its scale of the matrix is " + m.tensorScale()));
        }
    }

    private static void codes(QuantizedMatrix m, Scheme.Fp8Format format, String layer, List<Verifier.Finding> out) {
        int limit = format == Scheme.Fp8Format.E4M3 ? 0x7f : 0x7c;
        long bad = 0;
        long first = -1;
        for (long i = 0; i < m.codes().elements(); i++) {
            if ((m.codes().getByte(i) & 0x7f) >= limit) {
                first = bad++ == 0 ? i : first;
            }
        }
        if (bad > 0) {
            out.add(new Verifier.Finding(layer, bad + " of its codes are NaN or infinite, the first at " + first));
        }
    }

    private static void blocks(QuantizedMatrix m, GgmlBlock block, String layer, List<Verifier.Finding> out) {
        long bad = 0;
        long first = -1;
        long count = m.codes().data().byteSize() / block.bytes();
        for (long i = 0; i < count; i++) {
            if (!block.finite(m.codes().data(), i * block.bytes())) {
                first = bad++ == 0 ? i : first;
            }
        }
        if (bad > 0) {
            out.add(new Verifier.Finding(layer, bad + " of its " + count + " blocks have scales that are NaN or infinite, the first at " + first));
        }
    }
}
