package io.lowbit.cli.selftest;

import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.format.BnbFp4;
import io.lowbit.format.BulkCodec;
import io.lowbit.format.Codecs;
import io.lowbit.format.DynamicMap;
import io.lowbit.format.E2M1;
import io.lowbit.format.E8M0;
import io.lowbit.format.Float8;
import io.lowbit.format.NanCode;
import io.lowbit.format.Nf4;
import io.lowbit.format.Overflow;
import io.lowbit.format.Scaling;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.IntFunction;
import java.util.function.ToIntFunction;

/** Decode tables and encode vectors made by PyTorch, CUDA, ml_dtypes and bitsandbytes, against scalar and bulk code. */
final class FormatVectors {
    /** The groups' names. */
    static final String DECODE = "decode tables";
    static final String ENCODE = "encode vectors";

    private FormatVectors() {}

    /** The decode tables: scalar definitions, and the bulk codecs this JVM chose. */
    static GroupResult decode(SafetensorsFile codes) {
        Check check = new Check();
        table(check, codes, "float8_e4m3fn", Float8.E4M3::decode);
        table(check, codes, "float8_e5m2", Float8.E5M2::decode);
        table(check, codes, "float8_e8m0fnu", E8M0::decode);
        table(check, codes, "float4_e2m1fn", E2M1::decode);
        table(check, codes, "bnb_nf4", Nf4::decode);
        table(check, codes, "bnb_fp4_cuda_decoded", BnbFp4::decode);
        table(check, codes, "bnb_dynamic8", DynamicMap::decode);
        Codecs bulk = Codecs.chosen();
        bulkTable(check, codes, "float8_e4m3fn", bulk.float8(Float8.E4M3, Overflow.SATURATE, NanCode.CANONICAL, Scaling.DIVIDE));
        bulkTable(check, codes, "float8_e5m2", bulk.float8(Float8.E5M2, Overflow.SATURATE, NanCode.CANONICAL, Scaling.DIVIDE));
        bulkTable(check, codes, "float4_e2m1fn", bulk.e2m1(NanCode.CANONICAL));
        bulkTable(check, codes, "bnb_nf4", bulk.nf4());
        bulkTable(check, codes, "bnb_fp4_cuda_decoded", bulk.bnbFp4());
        return check.result(DECODE, "codes");
    }

    /** The encode vectors, each in the mode its name says. */
    static GroupResult encode(SafetensorsFile vectors) {
        Check check = new Check();
        for (NanMode mode : NanMode.values()) {
            for (Float8 format : Float8.values()) {
                mode.check(check, vectors, format);
            }
        }
        scalar(check, vectors, "cuda_e2m1", x -> E2M1.encode(x, NanCode.CANONICAL));
        scalar(check, vectors, "mldtypes_e2m1fn", x -> E2M1.encode(x, NanCode.ML_DTYPES));
        bulk(check, vectors, "cuda_e2m1", Codecs.chosen().e2m1(NanCode.CANONICAL));
        bulk(check, vectors, "mldtypes_e2m1fn", Codecs.chosen().e2m1(NanCode.ML_DTYPES));
        e8m0(check, vectors, "torch_e8m0fnu", E8M0.Rounding.TORCH_NEAREST, Overflow.NONSATURATING);
        e8m0(check, vectors, "mldtypes_e8m0fnu", E8M0.Rounding.ML_DTYPES, Overflow.NONSATURATING);
        e8m0(check, vectors, "cuda_e8m0_nosat_roundposinf", E8M0.Rounding.TOWARD_POSITIVE, Overflow.NONSATURATING);
        e8m0(check, vectors, "cuda_e8m0_nosat_roundzero", E8M0.Rounding.TOWARD_ZERO, Overflow.NONSATURATING);
        e8m0(check, vectors, "cuda_e8m0_satfinite_roundposinf", E8M0.Rounding.TOWARD_POSITIVE, Overflow.SATURATE);
        e8m0(check, vectors, "cuda_e8m0_satfinite_roundzero", E8M0.Rounding.TOWARD_ZERO, Overflow.SATURATE);
        return check.result(ENCODE, "codes");
    }

    /** FP8 casts: who saturates and what becomes of a NaN's sign. */
    private enum NanMode {
        TORCH(NanCode.SIGNED, Overflow.NONSATURATING, "torch_e4m3fn", "torch_e5m2"),
        CUDA_SATURATING(NanCode.CANONICAL, Overflow.SATURATE, "cuda_e4m3_satfinite", "cuda_e5m2_satfinite"),
        CUDA(NanCode.CANONICAL, Overflow.NONSATURATING, "cuda_e4m3_nosat", "cuda_e5m2_nosat"),
        ML_DTYPES(NanCode.ML_DTYPES, Overflow.NONSATURATING, null, "mldtypes_e5m2");

        private final NanCode nan;
        private final Overflow overflow;
        private final String e4m3;
        private final String e5m2;

        NanMode(NanCode nan, Overflow overflow, String e4m3, String e5m2) {
            this.nan = nan;
            this.overflow = overflow;
            this.e4m3 = e4m3;
            this.e5m2 = e5m2;
        }

        void check(Check check, SafetensorsFile vectors, Float8 format) {
            String name = format == Float8.E4M3 ? e4m3 : e5m2;
            if (name != null) {
                scalar(check, vectors, name, x -> format.encode(x, overflow, nan));
                bulk(check, vectors, name, Codecs.chosen().float8(format, overflow, nan, Scaling.DIVIDE));
            }
        }
    }

    private static void e8m0(Check check, SafetensorsFile vectors, String name, E8M0.Rounding rounding, Overflow overflow) {
        scalar(check, vectors, name, x -> E8M0.encode(x, rounding, overflow));
    }

    private static void table(Check check, SafetensorsFile codes, String name, IntFunction<Float> decode) {
        Tensor expected = codes.tensor(name);
        for (int code = 0; code < expected.elements(); code++) {
            check.equal(expected.getFloat(code), decode.apply(code), name, code);
        }
    }

    private static void bulkTable(Check check, SafetensorsFile codes, String name, BulkCodec codec) {
        Tensor expected = codes.tensor(name);
        try (Arena arena = Arena.ofConfined()) {
            long n = expected.elements();
            MemorySegment in = arena.allocate(n);
            for (long i = 0; i < n; i++) {
                in.set(ValueLayout.JAVA_BYTE, i, (byte) i);
            }
            MemorySegment out = arena.allocate(4 * n, 64);
            codec.decode(in, 0, 1f, out, 0, n);
            for (long i = 0; i < n; i++) {
                check.equal(expected.getFloat(i), out.getAtIndex(ValueLayout.JAVA_FLOAT, i), "bulk " + name, i);
            }
        }
    }

    private static void scalar(Check check, SafetensorsFile vectors, String name, ToIntFunction<Float> encode) {
        Tensor input = vectors.tensor("input");
        Tensor expected = vectors.tensor(name);
        for (long i = 0; i < expected.elements(); i++) {
            check.equal(expected.getByte(i), encode.applyAsInt(input.getFloat(i)), name, i);
        }
    }

    private static void bulk(Check check, SafetensorsFile vectors, String name, BulkCodec codec) {
        Tensor input = vectors.tensor("input");
        Tensor expected = vectors.tensor(name);
        try (Arena arena = Arena.ofConfined()) {
            long n = expected.elements();
            MemorySegment out = arena.allocate(n);
            codec.encode(input.data(), 0, 1f, out, 0, n);
            for (long i = 0; i < n; i++) {
                check.equal(expected.getByte(i), Byte.toUnsignedInt(out.get(ValueLayout.JAVA_BYTE, i)), "bulk " + name, i);
            }
        }
    }
}
