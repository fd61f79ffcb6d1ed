package io.lowbit.format;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every vector of encode.safetensors for the mode it names: PyTorch, CUDA's intrinsics, ml_dtypes. */
@Tag("widths")
class EncodeVectorsTest {
    private static final GoldenFile GOLDEN = GoldenFile.open("encode.safetensors");

    private interface Encode {
        int of(float x);
    }

    static Stream<Arguments> vectors() {
        return Stream.of(
                fp8("torch_e4m3fn", "input", Float8.E4M3, Overflow.NONSATURATING, NanCode.SIGNED),
                fp8("torch_e5m2", "input", Float8.E5M2, Overflow.NONSATURATING, NanCode.SIGNED),
                fp8("torch_e4m3fn_from_f16_cuda", "input_f16", Float8.E4M3, Overflow.NONSATURATING, NanCode.CANONICAL),
                fp8("torch_e5m2_from_f16_cuda", "input_f16", Float8.E5M2, Overflow.NONSATURATING, NanCode.CANONICAL),
                fp8("mldtypes_e5m2", "input", Float8.E5M2, Overflow.NONSATURATING, NanCode.ML_DTYPES),
                fp8("cuda_e4m3_satfinite", "input", Float8.E4M3, Overflow.SATURATE, NanCode.CANONICAL),
                fp8("cuda_e4m3_nosat", "input", Float8.E4M3, Overflow.NONSATURATING, NanCode.CANONICAL),
                fp8("cuda_e5m2_satfinite", "input", Float8.E5M2, Overflow.SATURATE, NanCode.CANONICAL),
                fp8("cuda_e5m2_nosat", "input", Float8.E5M2, Overflow.NONSATURATING, NanCode.CANONICAL),
                e2m1("cuda_e2m1", NanCode.CANONICAL),
                e2m1("mldtypes_e2m1fn", NanCode.ML_DTYPES),
                e8m0("torch_e8m0fnu", E8M0.Rounding.TORCH_NEAREST, Overflow.NONSATURATING),
                e8m0("mldtypes_e8m0fnu", E8M0.Rounding.ML_DTYPES, Overflow.NONSATURATING),
                e8m0("cuda_e8m0_nosat_roundzero", E8M0.Rounding.TOWARD_ZERO, Overflow.NONSATURATING),
                e8m0("cuda_e8m0_nosat_roundposinf", E8M0.Rounding.TOWARD_POSITIVE, Overflow.NONSATURATING),
                e8m0("cuda_e8m0_satfinite_roundzero", E8M0.Rounding.TOWARD_ZERO, Overflow.SATURATE),
                e8m0("cuda_e8m0_satfinite_roundposinf", E8M0.Rounding.TOWARD_POSITIVE, Overflow.SATURATE));
    }

    private static Arguments fp8(String name, String input, Float8 format, Overflow overflow, NanCode nan) {
        return Arguments.of(name, input, (Encode) x -> format.encode(x, overflow, nan),
                Codecs.chosen().float8(format, overflow, nan, Scaling.DIVIDE));
    }

    private static Arguments e2m1(String name, NanCode nan) {
        return Arguments.of(name, "input", (Encode) x -> E2M1.encode(x, nan), Codecs.chosen().e2m1(nan));
    }

    private static Arguments e8m0(String name, E8M0.Rounding rounding, Overflow overflow) {
        return Arguments.of(name, "input", (Encode) x -> E8M0.encode(x, rounding, overflow), null);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("vectors")
    void equalsTheReference(String name, String input, Encode encode, BulkCodec codec) {
        Tensor x = GOLDEN.get(input);
        byte[] expected = GOLDEN.bytes(name);
        assertEquals(x.elements(), expected.length);
        for (int i = 0; i < expected.length; i++) {
            int at = i;
            assertEquals(expected[i] & 0xff, encode.of(x.getFloat(i)),
                    () -> name + " of " + x.getFloat(at) + " (0x" + Integer.toHexString(Float.floatToRawIntBits(x.getFloat(at))) + ")");
        }
        if (codec != null) {
            byte[] bulk = encodeAll(codec, x);
            for (int i = 0; i < expected.length; i++) {
                int at = i;
                assertEquals(expected[i] & 0xff, bulk[i] & 0xff, () -> name + " in bulk, of " + x.getFloat(at));
            }
        }
    }

    @Test
    void everyVectorOfTheFileIsTested() {
        Set<String> tested = new TreeSet<>();
        vectors().forEach(a -> tested.add((String) a.get()[0]));
        Set<String> stored = new TreeSet<>(GOLDEN.names());
        stored.removeIf(name -> name.startsWith("input"));
        assertEquals(stored, tested);
    }

    static byte[] encodeAll(BulkCodec codec, Tensor x) {
        int count = (int) x.elements();
        try (Arena arena = Arena.ofConfined()) {
            Tensor floats = Tensor.allocate(arena, DType.F32, count);
            for (int i = 0; i < count; i++) {
                // raw bits, so that NaN payloads survive
                int u = x.dtype() == DType.F32 ? x.getInt(i) : Float.floatToRawIntBits(x.getFloat(i));
                floats.data().set(ValueLayout.JAVA_INT_UNALIGNED, 4L * i, u);
            }
            MemorySegment codes = arena.allocate(count);
            codec.encode(floats.data(), 0, 1f, codes, 0, count);
            return codes.toArray(ValueLayout.JAVA_BYTE);
        }
    }
}
