package io.lowbit.cli.selftest;

import io.lowbit.backend.Backend;
import io.lowbit.cli.SchemeNames;
import io.lowbit.format.Float8;
import io.lowbit.format.Overflow;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.HexFormat;
import java.util.List;

/** One row of 64 known floats, quantized in every family, against codes and scales written down in a text file. */
final class BlockVectors {
    private static final int COUNT = 64;

    private BlockVectors() {}

    /** The group's name. @param who quantizes, and a blank; empty for the CPU */
    static String name(String who) {
        return who + "block vectors";
    }

    /** By the CPU's quantizers. */
    static GroupResult run(String text) {
        return run(text, "", (x, scheme, arena) -> Quantizer.quantize(x, scheme, QuantizeOptions.DEFAULT.withThreads(1), arena));
    }

    /** By a backend's own quantizers. */
    static GroupResult run(String text, Backend backend) {
        return run(text, backend.name() + " ", (x, scheme, arena) -> backend.quantize(x, scheme, QuantizeOptions.DEFAULT, arena));
    }

    private interface Engine {
        QuantizedMatrix quantize(Tensor x, Scheme scheme, Arena arena);
    }

    private static GroupResult run(String text, String who, Engine engine) {
        Check check = new Check();
        try (Arena arena = Arena.ofConfined()) {
            Tensor x = Tensor.allocate(arena, DType.F32, 1, COUNT);
            for (int i = 0; i < COUNT; i++) {
                x.setFloat(i, input(i));
            }
            for (String line : text.lines().filter(l -> !l.isBlank() && !l.startsWith("#")).toList()) {
                List<String> fields = List.of(line.split("\\|", -1)).stream().map(String::strip).toList();
                if (fields.get(1).equals("bytes")) {
                    fp8(check, fields);
                } else {
                    matrix(check, fields, x, engine, arena);
                }
            }
        }
        return check.result(name(who), "codes and scales");
    }

    /** x_i = (((i+1)·2654435761 mod 2³²) >> 8)·2⁻²³ − 1, exact in f32. */
    private static float input(int i) {
        long u = ((i + 1) * 2654435761L) & 0xffffffffL;
        return (u >>> 8) * 0x1p-23f - 1f;
    }

    private static void matrix(Check check, List<String> fields, Tensor x, Engine engine, Arena arena) {
        String label = fields.get(0);
        Scheme scheme = SchemeNames.parse(label).orElseThrow();
        QuantizedMatrix matrix = engine.quantize(x, scheme, arena);
        boolean high = fields.get(1).equals("high");
        for (int i = 0; i < COUNT; i++) {
            int digit = high ? i : i ^ 1;
            check.equal(Character.digit(fields.get(2).charAt(digit), 16), matrix.code(0, i), label + " code", i);
        }
        String[] scales = fields.get(3).split(" ");
        for (int i = 0; i < scales.length; i++) {
            long expected = Long.parseLong(scales[i], 16);
            Tensor stored = matrix.scales();
            long got = switch (stored.dtype()) {
                case F32 -> Float.floatToRawIntBits(stored.getFloat(i)) & 0xffffffffL;
                case F16 -> Float.floatToFloat16(stored.getFloat(i)) & 0xffffL;
                default -> stored.getByte(i);
            };
            check.equal(expected, got, label + " scale", i);
        }
        if (fields.size() > 4 && !fields.get(4).isEmpty()) {
            check.equal(Long.parseLong(fields.get(4), 16), Float.floatToRawIntBits(matrix.tensorScale()), label + " tensor scale", 0);
        }
    }

    private static void fp8(Check check, List<String> fields) {
        Float8 format = fields.get(0).equals("fp8 e4m3") ? Float8.E4M3 : Float8.E5M2;
        byte[] expected = HexFormat.of().parseHex(fields.get(2));
        for (int i = 0; i < expected.length; i++) {
            check.equal(Byte.toUnsignedInt(expected[i]), format.encode(3f * input(i), Overflow.SATURATE), fields.get(0) + " code", i);
        }
    }
}
