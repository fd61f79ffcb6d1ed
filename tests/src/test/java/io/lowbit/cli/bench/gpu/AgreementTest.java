package io.lowbit.cli.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cli.bench.cublaslt.Operands;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Another harness's table beside a made-up run. */
class AgreementTest {
    private static final GpuReport RUN = MadeUpRun.report(null,
            MadeUpRun.brief(Operands.BF16, 1, 16, 18), MadeUpRun.brief(Operands.BF16, 64, 15, 16),
            MadeUpRun.brief(Operands.FP8_ROW_PRECISE, 1, 9, 10), MadeUpRun.timed("mxfp4", false, MathType.BF16, 1, 5));

    @Test
    void briefReplaysAreHeldToTheSameProductOfTheOther() {
        Agreement agreement = Agreement.of(RUN, Agreement.read("""
                peer,op,M,N,K,median_us,rate
                torch,bf16_mm,1,4096,4096,17.5,1GB/s
                torch,bf16_mm,64,4096,4096,10,1GB/s
                torch,bf16_mm,1,8192,4096,1,1GB/s
                torch,fp8_scaled_mm_rowwise_fastacc0,1,4096,4096,10.8,1GB/s
                torch,fp8_scaled_mm_rowwise_fastacc1,1,4096,4096,1,1GB/s
                """));
        assertEquals(List.of(17_500.0, 10_000.0, 10_800.0), agreement.lines().stream().map(Agreement.Line::theirs).toList());
        assertEquals(List.of(18_000.0, 16_000.0, 10_000.0), agreement.lines().stream().map(Agreement.Line::brief).toList());
        assertEquals(1, agreement.within(0.05));
        assertEquals(2, agreement.within(0.1));
        assertEquals(18 / 17.5, agreement.median(), 1e-12);
        String text = String.join("\n", agreement.text());
        assertTrue(text.contains("1 of 3 within 5 %, 2 within 10 %"), text);
        assertTrue(text.contains("+60.0 %"), text);
        assertEquals(1L, agreement.document().get("within_5_percent"));
    }

    @Test
    void operationsAreNamedAsInPyTorch() {
        assertEquals(List.of("bf16_mm", "fp8_scaled_mm_tensor_fastacc1", "fp8_scaled_mm_tensor_fastacc0", "fp8_scaled_mm_rowwise_fastacc1",
                "fp8_scaled_mm_rowwise_fastacc0"), java.util.Arrays.stream(Operands.values()).map(Agreement::operation).toList());
    }

    @Test
    void otherFilesAreRefused() {
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Agreement.read("op,M,N,K\n")).getMessage().contains("median_us"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Agreement.read("")).getMessage().contains("column op"));
        for (String line : List.of("bf16_mm,1,4096", "bf16_mm,1,4096,4096,fast")) {
            assertTrue(assertThrows(IllegalArgumentException.class, () -> Agreement.read("op,M,N,K,median_us\n" + line)).getMessage().startsWith("line 2"));
        }
    }

    @Test
    void nothingInCommonIsNoAgreement() {
        Agreement none = Agreement.of(RUN, Agreement.read("op,M,N,K,median_us\n"));
        assertEquals(0, none.lines().size());
        assertTrue(Double.isNaN(none.median()));
    }
}
