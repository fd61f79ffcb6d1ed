package io.lowbit.cuda.kernels;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Writes {@code struct Matrix} of weights.cuh: 96 bytes. */
public final class MatrixArgument {
    /** Size of the structure. */
    public static final long BYTES = 96;

    private MatrixArgument() {}

    /**
     * Device addresses of a matrix's parts; 0 for those it lacks.
     *
     * @param scales null pointer for dense matrices and nested scales
     * @param zeros null pointer unless INT4 is asymmetric
     * @param nestedMap of nested scales, or the group of each column of INT4 with act-order
     */
    public record Addresses(long codes, long scales, long zeros, long nestedCodes, long nestedAbsmax, long nestedMap) {}

    /** Describes {@code w}, whose parts lie at {@code at}, in {@code out}. */
    public static void write(MemorySegment out, MatrixShape w, Addresses at) {
        long n = w.n();
        long k = w.k();
        Scheme scheme = w.scheme();
        long scaleCols = 0;
        int groupRows = 1;
        int groupCols = 1;
        int scaleType = 0;
        int blockShift = 0;
        switch (scheme) {
            case Scheme.Dense _, Scheme.Ggml _ -> {}
            case Scheme.Int8 _ -> {
                scaleCols = 1;
                groupCols = Math.toIntExact(Math.max(k, 1));
            }
            case Scheme.Int4 s -> {
                scaleCols = s.grouping().scaleCols(k);
                groupRows = rows(s.grouping(), n);
                groupCols = cols(s.grouping(), k);
                scaleType = ElementTypes.of(s.scaleType());
            }
            case Scheme.Fp8 s -> {
                scaleCols = s.grouping().scaleCols(k);
                groupRows = rows(s.grouping(), n);
                groupCols = cols(s.grouping(), k);
            }
            case Scheme.Bnb4 s -> blockShift = Integer.numberOfTrailingZeros(s.blockSize());
            case Scheme.Mxfp4 _ -> scaleCols = Math.ceilDiv(k, (long) Scheme.Mxfp4.BLOCK);
            case Scheme.Mxfp8 _ -> {
                scaleCols = Math.ceilDiv(k, (long) Scheme.Mxfp8.BLOCK);
                groupCols = Scheme.Mxfp8.BLOCK;
                scaleType = 1;
            }
            case Scheme.Nvfp4 _ -> {
                scaleCols = Math.ceilDiv(k, (long) Scheme.Nvfp4.BLOCK);
                scaleType = w.divided() ? 1 : 0;
            }
        }
        out.set(ValueLayout.JAVA_LONG, 0, at.codes);
        out.set(ValueLayout.JAVA_LONG, 8, at.scales);
        out.set(ValueLayout.JAVA_LONG, 16, at.zeros);
        out.set(ValueLayout.JAVA_LONG, 24, at.nestedCodes);
        out.set(ValueLayout.JAVA_LONG, 32, at.nestedAbsmax);
        out.set(ValueLayout.JAVA_LONG, 40, at.nestedMap);
        out.set(ValueLayout.JAVA_LONG, 48, n);
        out.set(ValueLayout.JAVA_LONG, 56, k);
        out.set(ValueLayout.JAVA_LONG, 64, scaleCols);
        out.set(ValueLayout.JAVA_INT, 72, groupRows);
        out.set(ValueLayout.JAVA_INT, 76, groupCols);
        out.set(ValueLayout.JAVA_INT, 80, scaleType);
        out.set(ValueLayout.JAVA_INT, 84, blockShift);
        out.set(ValueLayout.JAVA_FLOAT, 88, w.nestedOffset());
        out.set(ValueLayout.JAVA_FLOAT, 92, w.tensorScale());
    }

    /** Rows that share a scale, at least 1 since the kernels divide by it. */
    private static int rows(Grouping grouping, long n) {
        return switch (grouping) {
            case Grouping.PerTensor _ -> Math.toIntExact(Math.max(n, 1));
            case Grouping.PerChannel _, Grouping.PerGroup _ -> 1;
            case Grouping.PerBlock b -> b.rows();
        };
    }

    /** Columns that share a scale. */
    private static int cols(Grouping grouping, long k) {
        return switch (grouping) {
            case Grouping.PerTensor _, Grouping.PerChannel _ -> Math.toIntExact(Math.max(k, 1));
            case Grouping.PerGroup g -> g.size();
            case Grouping.PerBlock b -> b.cols();
        };
    }
}
