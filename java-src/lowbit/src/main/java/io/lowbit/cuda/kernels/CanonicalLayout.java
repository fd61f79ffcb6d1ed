package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.NestedScales;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/** The parts of a {@link QuantizedMatrix} as they are, one after the other, each from a multiple of 256 bytes on. */
public final class CanonicalLayout implements WeightLayout {
    /** The only one. */
    public static final CanonicalLayout INSTANCE = new CanonicalLayout();

    private static final long ALIGNMENT = 256;

    private CanonicalLayout() {}

    /**
     * Sizes in bytes of the parts, and with {@link #offset} where they begin.
     *
     * @param scales 0 for dense matrices and nested scales
     * @param zeros 0 unless INT4 is asymmetric
     * @param nestedMap of nested scales, or of INT4 with act-order the group of each column
     */
    public record Parts(long codes, long scales, long zeros, long nestedCodes, long nestedAbsmax, long nestedMap) {
        /** Of a matrix. */
        public static Parts of(MatrixShape w) {
            long n = w.n();
            long k = w.k();
            return switch (w.scheme()) {
                case Scheme.Dense s -> new Parts(s.dtype().byteSize(n * k), 0, 0, 0, 0, 0);
                case Scheme.Int4 s -> {
                    long rows = s.grouping().scaleRows(n);
                    long cols = s.grouping().scaleCols(k);
                    yield new Parts(n * Math.ceilDiv(k, 2L), s.scaleType().byteSize(rows * cols), s.symmetric() ? 0 : rows * Math.ceilDiv(cols, 2L),
                            0, 0, w.actOrder() ? 4 * k : 0);
                }
                case Scheme.Int8 _ -> new Parts(n * k, 4 * n, 0, 0, 0, 0);
                case Scheme.Ggml s -> new Parts(n * (k / s.block().elements()) * s.block().bytes(), 0, 0, 0, 0, 0);
                case Scheme.Bnb4 s -> {
                    long blocks = Math.ceilDiv(n * k, (long) s.blockSize());
                    yield s.doubleQuant()
                            ? new Parts(Math.ceilDiv(n * k, 2L), 0, 0, blocks, 4 * Math.ceilDiv(blocks, (long) NestedScales.BLOCK), 4 * 256)
                            : new Parts(Math.ceilDiv(n * k, 2L), 4 * blocks, 0, 0, 0, 0);
                }
                case Scheme.Mxfp4 _ -> new Parts(n * Math.ceilDiv(k, 2L), n * Math.ceilDiv(k, (long) Scheme.Mxfp4.BLOCK), 0, 0, 0, 0);
                case Scheme.Mxfp8 _ -> new Parts(n * k, n * Math.ceilDiv(k, (long) Scheme.Mxfp8.BLOCK), 0, 0, 0, 0);
                case Scheme.Nvfp4 _ -> new Parts(n * Math.ceilDiv(k, 2L), n * Math.ceilDiv(k, (long) Scheme.Nvfp4.BLOCK), 0, 0, 0, 0);
                case Scheme.Fp8 s -> new Parts(n * k, 4 * s.grouping().scaleRows(n) * s.grouping().scaleCols(k), 0, 0, 0, 0);
            };
        }

        /** Bytes of part {@code index}, in the order of the components. */
        public long size(int index) {
            return switch (index) {
                case 0 -> codes;
                case 1 -> scales;
                case 2 -> zeros;
                case 3 -> nestedCodes;
                case 4 -> nestedAbsmax;
                case 5 -> nestedMap;
                default -> throw new IndexOutOfBoundsException(index);
            };
        }

        /** Where part {@code index} begins; of 6, where all end. */
        public long offset(int index) {
            long at = 0;
            for (int i = 0; i < index; i++) {
                at += Math.ceilDiv(size(i), ALIGNMENT) * ALIGNMENT;
            }
            return at;
        }
    }

    /** The parts of a matrix in the order of {@link Parts}; null for those it lacks. */
    public static Tensor[] tensors(QuantizedMatrix w) {
        NestedScales nested = w.nested();
        return new Tensor[] {w.codes(), w.scales(), w.zeros(), nested == null ? null : nested.codes(), nested == null ? null : nested.absmax(),
            nested == null ? w.groups() : nested.map()};
    }

    @Override
    public String name() {
        return "canonical";
    }

    @Override
    public boolean fits(MatrixShape w) {
        return true;
    }

    @Override
    public String suffix(Scheme scheme) {
        return SchemeKernels.suffix(scheme);
    }

    @Override
    public long bytes(MatrixShape w) {
        return Parts.of(w).offset(6);
    }

    @Override
    public void pack(QuantizedMatrix w, MemorySegment out) {
        Parts parts = Parts.of(MatrixShape.of(w));
        Tensor[] tensors = tensors(w);
        for (int i = 0; i < tensors.length; i++) {
            if (tensors[i] != null) {
                MemorySegment.copy(tensors[i].data(), 0, out, parts.offset(i), tensors[i].data().byteSize());
            }
        }
    }

    /** Nothing to do: {@code out} is what was uploaded. */
    @Override
    public void pack(Kernels kernels, Stream stream, MatrixShape w, MemorySegment canonical, long out) {
        throw new UnsupportedOperationException("the canonical layout is uploaded, not packed");
    }

    @Override
    public void describe(MatrixShape w, long address, MemorySegment matrix) {
        Parts parts = Parts.of(w);
        long[] at = new long[6];
        for (int i = 0; i < at.length; i++) {
            at[i] = parts.size(i) == 0 ? 0 : address + parts.offset(i);
        }
        MatrixArgument.write(matrix, w, new MatrixArgument.Addresses(at[0], at[1], at[2], at[3], at[4], at[5]));
    }
}
