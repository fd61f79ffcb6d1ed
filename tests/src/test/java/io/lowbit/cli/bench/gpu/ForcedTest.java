package io.lowbit.cli.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cli.SchemeNames;
import io.lowbit.cli.bench.GemmShape;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Kernels that are timed each by itself, and what is made of it. */
class ForcedTest {
    private static final Scheme INT4 = SchemeNames.parse("int4 sym g128").orElseThrow();
    private static final Scheme FP8 = SchemeNames.parse("fp8 e4m3 tensor").orElseThrow();

    private static GpuPlan plan(List<ProductKernel> kernels, Integer... ms) {
        return new GpuPlan(List.of(INT4, FP8), List.of(new GemmShape(64, 128)), List.of(ms), DType.BF16, false, GpuPlan.Inputs.QUANTIZED, false, 0,
                TimingRule.of(50, 1, 0, false), 1, kernels);
    }

    @Test
    void namesAreMatchedOnTheirArchitecture() {
        assertEquals(List.of("w4-decode"), names(Forced.matching(Architecture.SM90, List.of("w4-decode", "w4-dec*"))));
        List<String> few = names(Forced.matching(Architecture.SM90, List.of("w4-few-*")));
        assertTrue(few.size() > 5 && few.stream().allMatch(name -> name.startsWith("w4-few-")), few::toString);
        String message = assertThrows(IllegalArgumentException.class, () -> Forced.matching(Architecture.SM89, List.of("w4-few-*"))).getMessage();
        assertTrue(message.contains("w4-few-*") && message.contains("sm_89") && message.contains("w4-mma-8"), message);
    }

    /** INT4 on BF16, on E4M3 with sums of two kinds, on INT8; FP8 with sums of two kinds. */
    @Test
    void eachIsAContenderWhereItMakesTheProduct() {
        List<ProductKernel> kernels = Forced.matching(Architecture.SM90, List.of("w4-decode", "w4a8_few_e4m3_16x64_w2_s12_k2", "fp8_fast_256x128_s4"));
        GpuPlan plan = plan(kernels, 1, 17);
        assertEquals(List.of("w4-decode"), names(Forced.of(plan, INT4, null)));
        List<EightBits> int4 = EightBits.of(INT4, false);
        assertEquals(List.of(1, 1, 0), int4.stream().map(inputs -> Forced.of(plan, INT4, inputs).size()).toList());
        for (EightBits inputs : EightBits.of(FP8, false)) {
            assertEquals(inputs.accumulation() == Accumulation.FAST ? 1 : 0, Forced.of(plan, FP8, inputs).size());
        }
        // For each M 6 as they are chosen, and 4 by themselves: the W4A8 kernel twice.
        assertEquals(2 * (6 + 4), plan.size());
        assertEquals(2 * 6, plan(List.of(), 1, 17).size());
    }

    @Test
    void theFastestStandsBesideTheChosen() {
        String few = Forced.name("mxfp4", Forced.matching(Architecture.SM90, List.of("w4-few-16x128")).getFirst());
        String decode = Forced.name("mxfp4", Forced.matching(Architecture.SM90, List.of("w4-decode")).getFirst());
        GpuResult chosen = MadeUpRun.timed("mxfp4", false, MathType.BF16, 1, 6);
        List<String> lines = KernelRanking.lines(MadeUpRun.report(null, chosen, MadeUpRun.timed(few, false, MathType.BF16, 1, 7),
                MadeUpRun.timed(decode, false, MathType.BF16, 1, 5), MadeUpRun.timed("mxfp4", false, MathType.BF16, 64, 9)));
        assertEquals(1, lines.stream().filter(line -> line.contains("mxfp4")).count(), lines::toString);
        String line = lines.getLast();
        assertTrue(line.contains("6.00") && line.contains("5.00") && line.contains("+20.0 %") && line.contains("7.00"), line);
        assertEquals(List.of(), KernelRanking.lines(MadeUpRun.report(null, chosen)));
        assertEquals("mxfp4", EightBits.scheme(few));
    }

    private static List<String> names(List<ProductKernel> kernels) {
        return kernels.stream().map(ProductKernel::name).toList();
    }
}
