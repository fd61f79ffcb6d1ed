package io.lowbit.cuda;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** Every scheme that a matrix can have, and matrices of them. */
final class Schemes {
    /** All schemes; groups that do not divide K, blocks that cross rows, tiles that end beyond the edge. */
    static final List<Scheme> ALL;

    static {
        List<Scheme> all = new ArrayList<>();
        for (DType type : new DType[] {DType.F32, DType.F16, DType.BF16}) {
            all.add(new Scheme.Dense(type));
            for (boolean symmetric : new boolean[] {true, false}) {
                all.add(new Scheme.Int4(Grouping.group(128), symmetric, type));
            }
        }
        for (boolean symmetric : new boolean[] {true, false}) {
            all.add(new Scheme.Int4(Grouping.TENSOR, symmetric));
            all.add(new Scheme.Int4(Grouping.CHANNEL, symmetric));
            all.add(new Scheme.Int4(Grouping.group(32), symmetric));
            all.add(new Scheme.Int4(Grouping.group(64), symmetric));
            all.add(new Scheme.Int4(Grouping.group(7), symmetric));
        }
        for (Scheme.Codebook codebook : Scheme.Codebook.values()) {
            for (boolean doubleQuant : new boolean[] {false, true}) {
                all.add(new Scheme.Bnb4(codebook, 64, doubleQuant));
            }
            all.add(new Scheme.Bnb4(codebook, 32, false));
            all.add(new Scheme.Bnb4(codebook, 128, true));
        }
        all.add(new Scheme.Mxfp4());
        all.add(new Scheme.Nvfp4());
        for (Scheme.Fp8Format format : Scheme.Fp8Format.values()) {
            for (Grouping grouping : new Grouping[] {Grouping.TENSOR, Grouping.CHANNEL, Grouping.block(128, 128), Grouping.block(3, 5)}) {
                all.add(new Scheme.Fp8(format, grouping));
            }
            all.add(new Scheme.Mxfp8(format));
        }
        ALL = List.copyOf(all);
    }

    private Schemes() {}

    /** Normal weights of deviation 0.05, quantized. */
    static QuantizedMatrix quantized(Arena arena, Scheme scheme, long n, long k, long seed) {
        return Quantizer.quantize(normal(arena, DType.F32, seed, 0.05, n, k), scheme, QuantizeOptions.DEFAULT, arena);
    }

    /** A tensor of normal numbers. */
    static Tensor normal(Arena arena, DType type, long seed, double deviation, long... dims) {
        SplittableRandom random = new SplittableRandom(seed);
        Tensor t = Tensor.allocate(arena, type, dims);
        for (long i = 0; i < t.elements(); i++) {
            t.setFloat(i, (float) (deviation * random.nextGaussian()));
        }
        return t;
    }

    /** Fills every byte of a matrix's codes, scales and zero points at random: codes that no quantizer makes, NaN included. */
    static void scramble(QuantizedMatrix w, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        for (Tensor t : new Tensor[] {w.codes(), w.zeros(), w.scales()}) {
            if (t != null && t.dtype().bits() == 8) {
                for (long i = 0; i < t.data().byteSize(); i++) {
                    t.data().set(java.lang.foreign.ValueLayout.JAVA_BYTE, i, (byte) random.nextInt());
                }
            }
        }
    }
}
