package io.lowbit.quant;

import io.lowbit.format.Float8;
import io.lowbit.format.GgmlBlock;
import io.lowbit.format.MxElement;
import io.lowbit.tensor.DType;

/**
 * How a weight matrix is stored. A scheme says what the bytes mean, not how they were chosen: that is
 * {@link QuantizeOptions}.
 */
public sealed interface Scheme {
    /** Short and unique, for tables and messages: {@code int4 sym g128}, {@code nf4 b64 dq}, {@code fp8 e4m3 channel}. */
    String label();

    /** Whether its codes include NaN, so that a NaN weight can stay one ({@link NonFinite#PROPAGATE}). */
    default boolean hasNan() {
        return this instanceof Dense || this instanceof Fp8 || this instanceof Mxfp8;
    }

    /** Plain floats, not quantized: F32, F16 or BF16. */
    record Dense(DType dtype) implements Scheme {
        public Dense {
            if (dtype != DType.F32 && dtype != DType.F16 && dtype != DType.BF16) {
                throw new IllegalArgumentException("dense weights are F32, F16 or BF16, not " + dtype);
            }
        }

        @Override
        public String label() {
            return dtype.name().toLowerCase(java.util.Locale.ROOT);
        }
    }

    /**
     * Unsigned 4-bit codes; w = (code − zero) · scale. Symmetric: zero is 8 everywhere and not stored.
     *
     * @param grouping tensor, channel or groups along K
     * @param symmetric true for the fixed zero point 8
     * @param scaleType F16 (the usual), BF16 or F32
     */
    record Int4(Grouping grouping, boolean symmetric, DType scaleType) implements Scheme {
        public Int4 {
            if (grouping instanceof Grouping.PerBlock) {
                throw new IllegalArgumentException("INT4 is grouped per tensor, channel or group along K, not per " + grouping.label());
            }
            if (scaleType != DType.F16 && scaleType != DType.BF16 && scaleType != DType.F32) {
                throw new IllegalArgumentException("INT4 scales are F16, BF16 or F32, not " + scaleType);
            }
        }

        /** With F16 scales. */
        public Int4(Grouping grouping, boolean symmetric) {
            this(grouping, symmetric, DType.F16);
        }

        @Override
        public String label() {
            return "int4 " + (symmetric ? "sym " : "asym ") + grouping.label();
        }
    }

    /** bitsandbytes' 16-entry tables. */
    enum Codebook {
        /** Quantiles of the normal distribution. */
        NF4,
        /** bitsandbytes' own 4-bit float: not OCP E2M1. */
        FP4
    }

    /**
     * bitsandbytes 4-bit: w = table[code] · absmax, in blocks of {@code blockSize} over the row-major matrix; blocks
     * ignore row ends and the last may be short.
     *
     * @param doubleQuant absmax itself in 8 bits (bitsandbytes' {@code compress_statistics})
     */
    record Bnb4(Codebook codebook, int blockSize, boolean doubleQuant) implements Scheme {
        public Bnb4 {
            if (blockSize < 32 || blockSize > 4096 || Integer.bitCount(blockSize) != 1) {
                throw new IllegalArgumentException("bitsandbytes block size " + blockSize + ": expected a power of two from 32 to 4096");
            }
        }

        @Override
        public String label() {
            return (codebook == Codebook.NF4 ? "nf4" : "fp4") + " b" + blockSize + (doubleQuant ? " dq" : "");
        }
    }

    /** OCP MXFP4: E2M1 codes in blocks of 32 along K, one E8M0 scale each; w = value · 2^(scale−127). */
    record Mxfp4() implements Scheme {
        /** Weights that share a scale. */
        public static final int BLOCK = 32;

        @Override
        public String label() {
            return "mxfp4";
        }
    }

    /** NVFP4: E2M1 codes in blocks of 16 along K, one E4M3 scale each, one f32 scale for the matrix. */
    record Nvfp4() implements Scheme {
        /** Weights that share a scale. */
        public static final int BLOCK = 16;

        @Override
        public String label() {
            return "nvfp4";
        }
    }

    /** The two 8-bit floats. */
    enum Fp8Format {
        E4M3,
        E5M2;

        /** The format's codes and values. */
        public Float8 float8() {
            return this == E4M3 ? Float8.E4M3 : Float8.E5M2;
        }

        /** The type of a tensor of its codes. */
        public DType dtype() {
            return this == E4M3 ? DType.F8_E4M3 : DType.F8_E5M2;
        }
    }

    /** OCP MXFP8: 8-bit floats in blocks of 32 along K, one E8M0 scale each; w = value · 2^(scale−127). */
    record Mxfp8(Fp8Format format) implements Scheme {
        /** Weights that share a scale. */
        public static final int BLOCK = 32;

        /** What the scale rules need of the elements. */
        public MxElement element() {
            return format == Fp8Format.E4M3 ? MxElement.E4M3 : MxElement.E5M2;
        }

        @Override
        public String label() {
            return format == Fp8Format.E4M3 ? "mxfp8 e4m3" : "mxfp8 e5m2";
        }
    }

    /** 8-bit floats; w = value · scale, scales in f32. */
    record Fp8(Fp8Format format, Grouping grouping) implements Scheme {
        public Fp8 {
            if (grouping instanceof Grouping.PerGroup) {
                throw new IllegalArgumentException("FP8 is scaled per tensor, channel or 2-D block, not per " + grouping.label());
            }
        }

        @Override
        public String label() {
            return "fp8 " + (format == Fp8Format.E4M3 ? "e4m3 " : "e5m2 ") + grouping.label();
        }
    }

    /** Signed 8-bit integers; w = code · scale, one f32 scale a row: bitsandbytes' LLM.int8. */
    record Int8() implements Scheme {
        @Override
        public String label() {
            return "int8 channel";
        }
    }

    /** Blocks of ggml that no other scheme holds exactly, as GGUF files have them: {@code ggml q4_k}. */
    record Ggml(GgmlBlock block) implements Scheme {
        @Override
        public String label() {
            return "ggml " + block.label();
        }
    }
}
