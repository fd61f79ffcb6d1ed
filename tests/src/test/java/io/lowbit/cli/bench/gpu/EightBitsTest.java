package io.lowbit.cli.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.cli.SchemeNames;
import io.lowbit.cli.bench.GemmShape;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Which products with activations of 8 bits are timed, and what they are called. */
class EightBitsTest {
    private static List<String> names(String label) {
        Scheme scheme = SchemeNames.parse(label).orElseThrow();
        return EightBits.of(scheme, false).stream().map(inputs -> inputs.name(scheme)).toList();
    }

    @Test
    void fp8WeightsTakeFp8AndInt4WeightsBoth() {
        assertEquals(List.of("fp8 e4m3 tensor w8a8 precise", "fp8 e4m3 tensor w8a8 fast"), names("fp8 e4m3 tensor"));
        assertEquals(List.of("fp8 e5m2 channel w8a8 precise", "fp8 e5m2 channel w8a8 fast"), names("fp8 e5m2 channel"));
        assertEquals(List.of("int4 sym g128 w4a8 e4m3-row precise", "int4 sym g128 w4a8 e4m3-row fast", "int4 sym g128 w4a8 int8-row exact"),
                names("int4 sym g128"));
        assertEquals(List.of("int4 sym g64 w4a8 e4m3-row precise", "int4 sym g64 w4a8 e4m3-row fast", "int4 sym g64 w4a8 int8-row exact"),
                names("int4 sym g64"));
        assertEquals(List.of("mxfp8 e5m2 w8a8 precise"), names("mxfp8 e5m2"));
        Scheme fp8 = SchemeNames.parse("fp8 e4m3 tensor").orElseThrow();
        assertEquals(List.of("fp8 e4m3 tensor w8a8 precise +quantize", "fp8 e4m3 tensor w8a8 fast +quantize"),
                EightBits.of(fp8, true).stream().map(inputs -> inputs.name(fp8)).toList());
        for (String label : List.of("int4 asym g128", "int4 sym g100", "int4 sym channel", "nf4 b64", "mxfp4")) {
            assertEquals(List.of(), names(label), label);
        }
    }

    @Test
    void aNameBeginsWithItsScheme() {
        for (String label : List.of("fp8 e4m3 channel", "mxfp8 e4m3", "int4 sym g128")) {
            names(label).forEach(name -> assertEquals(label, EightBits.scheme(name)));
        }
        assertEquals("cublasLt fp8 tensor fast", EightBits.scheme("cublasLt fp8 tensor fast"));
    }

    @Test
    void onlyFp8WeightsDoWithoutPlainActivations() {
        Scheme int4 = SchemeNames.parse("int4 sym g128").orElseThrow();
        Scheme fp8 = SchemeNames.parse("fp8 e4m3 tensor").orElseThrow();
        for (GpuPlan.Inputs inputs : GpuPlan.Inputs.values()) {
            GpuPlan plan = new GpuPlan(List.of(int4, fp8), List.of(new GemmShape(64, 128)), List.of(1), DType.BF16, false, inputs, false, 0,
                    TimingRule.of(50, 1, 0, false), 1);
            assertEquals(true, plan.onPlain(int4));
            assertEquals(inputs == GpuPlan.Inputs.NATIVE || inputs == GpuPlan.Inputs.BOTH, plan.onPlain(fp8));
            assertEquals(switch (inputs) {
                case NATIVE -> 2;
                case QUANTIZED, WITHIN -> 1 + 2 + 3;
                case BOTH -> 2 + 2 + 3;
            }, plan.size());
        }
    }
}
