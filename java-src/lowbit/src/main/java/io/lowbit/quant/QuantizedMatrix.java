package io.lowbit.quant;

import io.lowbit.format.BnbFp4;
import io.lowbit.format.E2M1;
import io.lowbit.format.E8M0;
import io.lowbit.format.Float8;
import io.lowbit.format.Nf4;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;

/**
 * A weight matrix {@code [N out, K in]} in the canonical layout of its scheme. Checkpoint layouts convert to and from
 * it and kernels repack from it; nothing else knows either.
 *
 * <p>{@code G} is the number of groups in a row. Rows of nibbles start on a whole byte; the unused nibble of an odd
 * row is 0.
 * <pre>
 * scheme  codes                                      scales                               more
 * Dense   dtype [N, K]                               none
 * Int4    U8 [N, ceil(K/2)], even column low nibble  F16|BF16|F32 [1,1], [N,1] or [N,G]   zeros U8 [N, ceil(G/2)], even group low
 *                                                                                         nibble (asymmetric; [1,1] per tensor);
 *                                                                                         groups I32 [K] (act-order)
 * Bnb4    U8 [ceil(N·K/2)], flat, even index HIGH    F32 [blocks]                         nested instead of scales (doubleQuant)
 * Mxfp4   U8 [N, ceil(K/2)], even column low nibble  F8_E8M0 [N, ceil(K/32)]
 * Mxfp8   F8_E4M3|F8_E5M2 [N, K]                     F8_E8M0 [N, ceil(K/32)]
 * Nvfp4   U8 [N, ceil(K/2)], even column low nibble  F8_E4M3 [N, ceil(K/16)]              tensorScale, a multiplier
 * Fp8     F8_E4M3|F8_E5M2 [N, K]                     F32 [1,1], [N,1] or [ceil(N/r), ceil(K/c)]
 * Int8    I8 [N, K]                                  F32 [N,1]
 * Ggml    U8 [N, K/elements·bytes], ggml's blocks    inside of the blocks
 * </pre>
 *
 * <p>Owns nothing: it lives as long as the arenas of its tensors.
 */
public final class QuantizedMatrix {
    private final Scheme scheme;
    private final long n;
    private final long k;
    private final Tensor codes;
    private final Tensor scales;
    private final Tensor zeros;
    private final Tensor groups;
    private final NestedScales nested;
    private final float tensorScale;
    private final float tensorDivisor;

    private QuantizedMatrix(Scheme scheme, long n, long k, Tensor codes, Tensor scales, Tensor zeros, NestedScales nested,
            float tensorScale) {
        this(scheme, n, k, codes, scales, zeros, null, nested, tensorScale, Float.NaN);
    }

    private QuantizedMatrix(Scheme scheme, long n, long k, Tensor codes, Tensor scales, Tensor zeros, Tensor groups, NestedScales nested,
            float tensorScale, float tensorDivisor) {
        this.scheme = scheme;
        this.n = n;
        this.k = k;
        this.codes = codes;
        this.scales = scales;
        this.zeros = zeros;
        this.groups = groups;
        this.nested = nested;
        this.tensorScale = tensorScale;
        this.tensorDivisor = tensorDivisor;
    }

    /** Plain floats: F32, F16 or BF16 {@code [N, K]}. */
    public static QuantizedMatrix dense(Tensor weights) {
        requireRank2(weights);
        return new QuantizedMatrix(new Scheme.Dense(weights.dtype()), weights.dim(0), weights.dim(1), weights, null, null, null, 1f);
    }

    /** INT4; {@code zeros} is null exactly for a symmetric scheme. */
    public static QuantizedMatrix int4(Scheme.Int4 scheme, long n, long k, Tensor codes, Tensor scales, Tensor zeros) {
        return int4(scheme, n, k, codes, scales, zeros, null);
    }

    /**
     * INT4 whose columns belong to groups in any order, as GPTQ's act-order leaves them.
     *
     * @param groups I32 {@code [K]}: the group of each column, from 0 to G−1; null where column k is in group k / size
     */
    public static QuantizedMatrix int4(Scheme.Int4 scheme, long n, long k, Tensor codes, Tensor scales, Tensor zeros, Tensor groups) {
        long rows = scheme.grouping().scaleRows(n);
        long cols = scheme.grouping().scaleCols(k);
        require(codes, "codes", DType.U8, n, Math.ceilDiv(k, 2L));
        require(scales, "scales", scheme.scaleType(), rows, cols);
        if (scheme.symmetric() != (zeros == null)) {
            throw new IllegalArgumentException(scheme.label() + ": zero points are " + (zeros == null ? "missing" : "given for a symmetric scheme"));
        }
        if (zeros != null) {
            require(zeros, "zeros", DType.U8, rows, Math.ceilDiv(cols, 2L));
        }
        if (groups != null) {
            requireGroups(scheme, k, groups, cols);
        }
        return new QuantizedMatrix(scheme, n, k, codes, scales, zeros, groups, null, 1f, Float.NaN);
    }

    /** bitsandbytes 4-bit with plain absmax. */
    public static QuantizedMatrix bnb4(Scheme.Bnb4 scheme, long n, long k, Tensor codes, Tensor absmax) {
        if (scheme.doubleQuant()) {
            throw new IllegalArgumentException(scheme.label() + ": expected nested scales, got plain absmax");
        }
        require(codes, "codes", DType.U8, Math.ceilDiv(Math.multiplyExact(n, k), 2L));
        require(absmax, "absmax", DType.F32, Math.ceilDiv(n * k, (long) scheme.blockSize()));
        return new QuantizedMatrix(scheme, n, k, codes, absmax, null, null, 1f);
    }

    /** bitsandbytes 4-bit with double quantization. */
    public static QuantizedMatrix bnb4(Scheme.Bnb4 scheme, long n, long k, Tensor codes, NestedScales nested) {
        if (!scheme.doubleQuant()) {
            throw new IllegalArgumentException(scheme.label() + ": expected plain absmax, got nested scales");
        }
        require(codes, "codes", DType.U8, Math.ceilDiv(Math.multiplyExact(n, k), 2L));
        require(nested.codes(), "absmax codes", DType.U8, Math.ceilDiv(n * k, (long) scheme.blockSize()));
        return new QuantizedMatrix(scheme, n, k, codes, null, null, nested, 1f);
    }

    /** OCP MXFP4. */
    public static QuantizedMatrix mxfp4(long n, long k, Tensor codes, Tensor scales) {
        require(codes, "codes", DType.U8, n, Math.ceilDiv(k, 2L));
        require(scales, "scales", DType.F8_E8M0, n, Math.ceilDiv(k, (long) Scheme.Mxfp4.BLOCK));
        return new QuantizedMatrix(new Scheme.Mxfp4(), n, k, codes, scales, null, null, 1f);
    }

    /** OCP MXFP8. */
    public static QuantizedMatrix mxfp8(Scheme.Mxfp8 scheme, long n, long k, Tensor codes, Tensor scales) {
        require(codes, "codes", scheme.format().dtype(), n, k);
        require(scales, "scales", DType.F8_E8M0, n, Math.ceilDiv(k, (long) Scheme.Mxfp8.BLOCK));
        return new QuantizedMatrix(scheme, n, k, codes, scales, null, null, 1f);
    }

    /** NVFP4; {@code tensorScale} multiplies. */
    public static QuantizedMatrix nvfp4(long n, long k, Tensor codes, Tensor scales, float tensorScale) {
        require(codes, "codes", DType.U8, n, Math.ceilDiv(k, 2L));
        require(scales, "scales", DType.F8_E4M3, n, Math.ceilDiv(k, (long) Scheme.Nvfp4.BLOCK));
        return new QuantizedMatrix(new Scheme.Nvfp4(), n, k, codes, scales, null, null, tensorScale);
    }

    /**
     * NVFP4 whose block scales are divided by {@code tensorDivisor}, as compressed-tensors stores it: w = E2M1 ·
     * (block scale / divisor), which no multiplier reproduces bit for bit in general.
     */
    public static QuantizedMatrix nvfp4Divided(long n, long k, Tensor codes, Tensor scales, float tensorDivisor) {
        if (!(tensorDivisor > 0) || Float.isInfinite(tensorDivisor)) {
            throw new IllegalArgumentException("nvfp4 tensor divisor " + tensorDivisor + ": expected a positive finite number");
        }
        QuantizedMatrix m = nvfp4(n, k, codes, scales, 1f / tensorDivisor);
        return new QuantizedMatrix(m.scheme, n, k, codes, scales, null, null, null, m.tensorScale, tensorDivisor);
    }

    /** FP8 with f32 scales. */
    public static QuantizedMatrix fp8(Scheme.Fp8 scheme, long n, long k, Tensor codes, Tensor scales) {
        require(codes, "codes", scheme.format().dtype(), n, k);
        require(scales, "scales", DType.F32, scheme.grouping().scaleRows(n), scheme.grouping().scaleCols(k));
        return new QuantizedMatrix(scheme, n, k, codes, scales, null, null, 1f);
    }

    /** 8-bit integers in rows of one scale; the code −128 is none that a quantizer makes, but it is read. */
    public static QuantizedMatrix int8(long n, long k, Tensor codes, Tensor scales) {
        require(codes, "codes", DType.I8, n, k);
        require(scales, "scales", DType.F32, n, 1);
        return new QuantizedMatrix(new Scheme.Int8(), n, k, codes, scales, null, null, 1f);
    }

    /** Blocks of ggml; K is a multiple of their length. */
    public static QuantizedMatrix ggml(Scheme.Ggml scheme, long n, long k, Tensor blocks) {
        int elements = scheme.block().elements();
        if (k % elements != 0) {
            throw new IllegalArgumentException(scheme.label() + ": K = " + k + " is no multiple of its blocks of " + elements);
        }
        require(blocks, "blocks", DType.U8, n, Math.multiplyExact(k / elements, (long) scheme.block().bytes()));
        return new QuantizedMatrix(scheme, n, k, blocks, null, null, null, 1f);
    }

    public Scheme scheme() {
        return scheme;
    }

    /** N: output features. */
    public long n() {
        return n;
    }

    /** K: input features. */
    public long k() {
        return k;
    }

    public Tensor codes() {
        return codes;
    }

    /** Null for dense matrices, for double quantization and for ggml's blocks. */
    public Tensor scales() {
        return scales;
    }

    /** Null but for asymmetric INT4. */
    public Tensor zeros() {
        return zeros;
    }

    /** The group of each column, I32 {@code [K]}; null where they are in order, and but for INT4. */
    public Tensor groups() {
        return groups;
    }

    /** Null but for double quantization. */
    public NestedScales nested() {
        return nested;
    }

    /** NVFP4's scale of the whole matrix, a multiplier: of a divided matrix 1 / divisor, rounded; 1 elsewhere. */
    public float tensorScale() {
        return tensorScale;
    }

    /** What {@link #nvfp4Divided} was given; NaN elsewhere. */
    public float tensorDivisor() {
        return tensorDivisor;
    }

    /** The f32 factor of an NVFP4 block whose E4M3 scale is {@code code}. */
    float nvfp4Factor(int code) {
        float block = Float8.E4M3.decode(code);
        return Float.isNaN(tensorDivisor) ? tensorScale * block : block / tensorDivisor;
    }

    /** Bytes of codes, scales, zero points and nested parts. */
    public long bytes() {
        long total = codes.data().byteSize();
        if (scales != null) {
            total += scales.data().byteSize();
        }
        if (zeros != null) {
            total += zeros.data().byteSize();
        }
        if (groups != null) {
            total += groups.data().byteSize();
        }
        if (nested != null) {
            // The 256-entry map is a table, shared by all matrices in memory; files repeat it.
            total += nested.codes().data().byteSize() + nested.absmax().data().byteSize() + Float.BYTES;
        }
        return scheme instanceof Scheme.Nvfp4 ? total + Float.BYTES : total;
    }

    /** Stored bits for each weight, scales included; NaN for an empty matrix. */
    public double bitsPerWeight() {
        return 8.0 * bytes() / ((double) n * k);
    }

    /** The 4- or 8-bit code of weight ({@code row}, {@code col}), INT8's with its sign. Not for dense matrices and ggml's blocks. */
    public int code(long row, long col) {
        return switch (scheme) {
            case Scheme.Dense _ -> throw new IllegalStateException("a dense matrix has no codes");
            case Scheme.Ggml _ -> throw new IllegalStateException("ggml's blocks have no codes of their own");
            case Scheme.Fp8 _, Scheme.Mxfp8 _ -> codes.getByte(row * k + col);
            case Scheme.Int8 _ -> (byte) codes.getByte(row * k + col);
            case Scheme.Bnb4 _ -> {
                long i = row * k + col;
                int pair = codes.getByte(i >>> 1);
                yield (i & 1) == 0 ? pair >>> 4 : pair & 15;
            }
            case Scheme.Int4 _, Scheme.Mxfp4 _, Scheme.Nvfp4 _ -> nibble(codes, row, Math.ceilDiv(k, 2L), col);
        };
    }

    /** The zero point of the group of weight ({@code row}, {@code col}): 8 for symmetric INT4. Only for INT4. */
    public int zero(long row, long col) {
        Scheme.Int4 int4 = (Scheme.Int4) scheme;
        if (int4.symmetric()) {
            return 8;
        }
        long cols = int4.grouping().scaleCols(k);
        long index = scaleIndex(int4, row, col);
        return nibble(zeros, index / cols, Math.ceilDiv(cols, 2L), index % cols);
    }

    /** Where in the scale grid of an INT4 matrix the scale and zero point of weight ({@code row}, {@code col}) are. */
    private long scaleIndex(Scheme.Int4 int4, long row, long col) {
        return groups == null ? int4.grouping().scaleIndex(row, col, k) : row * scales.dim(1) + groups.getInt(col);
    }

    /** The f32 factor of weight ({@code row}, {@code col}); 1 for dense matrices. Not for ggml's blocks. */
    public float scale(long row, long col) {
        return switch (scheme) {
            case Scheme.Dense _ -> 1f;
            case Scheme.Ggml _ -> throw new IllegalStateException("ggml's blocks have no scales of their own");
            case Scheme.Int8 _ -> scales.getFloat(row);
            case Scheme.Int4 s -> scales.getFloat(scaleIndex(s, row, col));
            case Scheme.Bnb4 s -> {
                long block = (row * k + col) / s.blockSize();
                yield s.doubleQuant() ? nested.scale(block) : scales.getFloat(block);
            }
            case Scheme.Mxfp4 _ -> E8M0.decode(scales.getByte(row * scales.dim(1) + col / Scheme.Mxfp4.BLOCK));
            case Scheme.Mxfp8 _ -> E8M0.decode(scales.getByte(row * scales.dim(1) + col / Scheme.Mxfp8.BLOCK));
            case Scheme.Nvfp4 _ -> nvfp4Factor(scales.getByte(row * scales.dim(1) + col / Scheme.Nvfp4.BLOCK));
            case Scheme.Fp8 s -> scales.getFloat(s.grouping().scaleIndex(row, col, k));
        };
    }

    /** The f32 that weight ({@code row}, {@code col}) stands for: the definition that every kernel must meet bit for bit. */
    public float value(long row, long col) {
        return switch (scheme) {
            case Scheme.Dense _ -> codes.getFloat(row * k + col);
            case Scheme.Ggml s -> {
                long block = row * codes.dim(1) + col / s.block().elements() * s.block().bytes();
                yield s.block().value(codes.data(), block, (int) (col % s.block().elements()));
            }
            case Scheme.Int8 _ -> code(row, col) * scale(row, col);
            case Scheme.Int4 _ -> (code(row, col) - zero(row, col)) * scale(row, col);
            case Scheme.Bnb4 s -> (s.codebook() == Scheme.Codebook.NF4 ? Nf4.decode(code(row, col)) : BnbFp4.decode(code(row, col)))
                    * scale(row, col);
            case Scheme.Mxfp4 _, Scheme.Nvfp4 _ -> E2M1.decode(code(row, col)) * scale(row, col);
            case Scheme.Fp8 s -> s.format().float8().decode(code(row, col)) * scale(row, col);
            case Scheme.Mxfp8 s -> s.format().float8().decode(code(row, col)) * scale(row, col);
        };
    }

    /** For example {@code int4 sym g128 [4096, 11008]}. */
    @Override
    public String toString() {
        return scheme.label() + " [" + n + ", " + k + "]";
    }

    private static int nibble(Tensor packed, long row, long rowBytes, long col) {
        int pair = packed.getByte(row * rowBytes + (col >>> 1));
        return (col & 1) == 0 ? pair & 15 : pair >>> 4;
    }

    private static void requireGroups(Scheme.Int4 scheme, long k, Tensor groups, long count) {
        if (!(scheme.grouping() instanceof Grouping.PerGroup)) {
            throw new IllegalArgumentException(scheme.label() + ": it has no groups for columns to belong to");
        }
        require(groups, "groups", DType.I32, k);
        for (long col = 0; col < k; col++) {
            int group = groups.getInt(col);
            if (group < 0 || group >= count) {
                throw new IllegalArgumentException("column " + col + " is in group " + group + ", expected 0 to " + (count - 1));
            }
        }
    }

    private static void requireRank2(Tensor t) {
        if (t.shape().rank() != 2) {
            throw new IllegalArgumentException("expected a weight matrix [N, K], got shape " + t.shape());
        }
    }

    private static void require(Tensor t, String what, DType dtype, long... dims) {
        if (t.dtype() != dtype || !java.util.Arrays.equals(t.shape().dims(), dims)) {
            throw new IllegalArgumentException(what + ": expected " + dtype + " " + java.util.Arrays.toString(dims) + ", got " + t.dtype()
                    + " " + t.shape());
        }
    }
}
