package io.lowbit.backend;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import io.lowbit.format.GgmlBlock;
import io.lowbit.quant.NestedScales;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Half;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;

/**
 * Matrices of any scheme with random codes and scales: every code that the format has but NaN and infinity, scales over
 * several powers of two. For products: a quantizer would only ever show the codes that its rounding prefers.
 */
public final class RandomMatrix {
    private RandomMatrix() {}

    /** A matrix {@code [n, k]} in {@code arena}; the same seed gives the same bytes. */
    public static QuantizedMatrix of(Arena arena, Scheme scheme, long n, long k, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        return switch (scheme) {
            case Scheme.Dense s -> QuantizedMatrix.dense(floats(arena, random, s.dtype(), 0.05f, true, n, k));
            case Scheme.Int4 s -> {
                long rows = s.grouping().scaleRows(n);
                long groups = s.grouping().scaleCols(k);
                yield QuantizedMatrix.int4(s, n, k, nibbles(arena, random, n, k), floats(arena, random, s.scaleType(), 0.01f, false, rows, groups),
                        s.symmetric() ? null : nibbles(arena, random, rows, groups));
            }
            case Scheme.Bnb4 s -> {
                long blocks = Math.ceilDiv(n * k, (long) s.blockSize());
                Tensor codes = bytes(arena, random, DType.U8, 256, Math.ceilDiv(n * k, 2L));
                if (!s.doubleQuant()) {
                    yield QuantizedMatrix.bnb4(s, n, k, codes, floats(arena, random, DType.F32, 0.05f, false, blocks));
                }
                Tensor map = Tensor.allocate(arena, DType.F32, 256);
                for (int i = 0; i < 256; i++) {
                    map.setFloat(i, (i - 127) / 128f);
                }
                yield QuantizedMatrix.bnb4(s, n, k, codes, new NestedScales(bytes(arena, random, DType.U8, 256, blocks),
                        floats(arena, random, DType.F32, 0.02f, false, Math.ceilDiv(blocks, (long) NestedScales.BLOCK)), map, 0.05f));
            }
            case Scheme.Mxfp4 _ -> {
                Tensor scales = powers(arena, random, 118, n, Math.ceilDiv(k, (long) Scheme.Mxfp4.BLOCK));
                yield QuantizedMatrix.mxfp4(n, k, nibbles(arena, random, n, k), scales);
            }
            case Scheme.Nvfp4 _ -> QuantizedMatrix.nvfp4(n, k, nibbles(arena, random, n, k),
                    bytes(arena, random, DType.F8_E4M3, 0x7f, n, Math.ceilDiv(k, (long) Scheme.Nvfp4.BLOCK)), 0.000123f);
            case Scheme.Int8 _ -> QuantizedMatrix.int8(n, k, bytes(arena, random, DType.I8, 256, n, k),
                    floats(arena, random, DType.F32, 0.0005f, false, n, 1));
            case Scheme.Ggml s -> QuantizedMatrix.ggml(s, n, k, blocks(arena, random, s.block(), n, k));
            case Scheme.Mxfp8 s -> {
                Tensor codes = float8(arena, random, s.format(), n, k);
                yield QuantizedMatrix.mxfp8(s, n, k, codes, powers(arena, random, 112, n, Math.ceilDiv(k, (long) Scheme.Mxfp8.BLOCK)));
            }
            case Scheme.Fp8 s -> {
                Tensor codes = float8(arena, random, s.format(), n, k);
                yield QuantizedMatrix.fp8(s, n, k, codes, floats(arena, random, DType.F32, 0.0002f, false,
                        s.grouping().scaleRows(n), s.grouping().scaleCols(k)));
            }
        };
    }

    /** Gaussian floats of standard deviation {@code size}; positive, away from zero, where not {@code signed}. */
    public static Tensor floats(Arena arena, SplittableRandom random, DType type, float size, boolean signed, long... dims) {
        Tensor t = Tensor.allocate(arena, type, dims);
        for (long i = 0; i < t.elements(); i++) {
            t.setFloat(i, signed ? (float) random.nextGaussian() * size : size * (0.25f + random.nextFloat()));
        }
        return t;
    }

    private static Tensor bytes(Arena arena, SplittableRandom random, DType type, int bound, long... dims) {
        Tensor t = Tensor.allocate(arena, type, dims);
        for (long i = 0; i < t.elements(); i++) {
            t.data().set(JAVA_BYTE, i, (byte) random.nextInt(bound));
        }
        return t;
    }

    /** E8M0 codes of eight neighbouring powers of two, 2^({@code lowest} − 127) the least. */
    private static Tensor powers(Arena arena, SplittableRandom random, int lowest, long rows, long blocks) {
        Tensor t = Tensor.allocate(arena, DType.F8_E8M0, rows, blocks);
        for (long i = 0; i < t.elements(); i++) {
            t.data().set(JAVA_BYTE, i, (byte) (lowest + random.nextInt(8)));
        }
        return t;
    }

    /** 8-bit floats, every finite code. */
    private static Tensor float8(Arena arena, SplittableRandom random, Scheme.Fp8Format format, long n, long k) {
        boolean e4m3 = format == Scheme.Fp8Format.E4M3;
        Tensor codes = bytes(arena, random, format.dtype(), 256, n, k);
        for (long i = 0; i < codes.elements(); i++) {
            int code = codes.getByte(i);
            if ((code & 0x7f) >= (e4m3 ? 0x7f : 0x7c)) {
                codes.data().set(JAVA_BYTE, i, (byte) (code & 0x83));
            }
        }
        return codes;
    }

    /** Blocks of random bytes whose f16 scales are small and finite. */
    private static Tensor blocks(Arena arena, SplittableRandom random, GgmlBlock block, long n, long k) {
        Tensor t = bytes(arena, random, DType.U8, 256, n, k / block.elements() * block.bytes());
        // the scale comes last in Q6_K, first elsewhere; the second word of the others is a minimum or of no harm as one
        int at = block == GgmlBlock.Q6_K ? block.bytes() - 2 : 0;
        boolean two = block == GgmlBlock.Q4_1 || block == GgmlBlock.Q5_1 || block == GgmlBlock.Q4_K || block == GgmlBlock.Q5_K;
        for (long b = 0; b < t.elements(); b += block.bytes()) {
            for (int word = 0; word < (two ? 2 : 1); word++) {
                short scale = Half.floatToF16(0.002f * (0.25f + random.nextFloat()));
                t.data().set(JAVA_BYTE, b + at + 2 * word, (byte) scale);
                t.data().set(JAVA_BYTE, b + at + 2 * word + 1, (byte) (scale >> 8));
            }
        }
        return t;
    }

    /** Rows of nibbles; the unused one of an odd row is 0. */
    private static Tensor nibbles(Arena arena, SplittableRandom random, long rows, long columns) {
        Tensor t = bytes(arena, random, DType.U8, 256, rows, Math.ceilDiv(columns, 2L));
        if ((columns & 1) == 1) {
            long rowBytes = t.dim(1);
            for (long r = 0; r < rows; r++) {
                long last = r * rowBytes + rowBytes - 1;
                t.data().set(JAVA_BYTE, last, (byte) (t.getByte(last) & 15));
            }
        }
        return t;
    }
}
