package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ProfileCaseTest {
    @Test
    void namesAreThoseOfTheTables() {
        Scheme int4 = new Scheme.Int4(Grouping.group(128), true);
        assertEquals(new ProfileCase("int4 sym g128", Optional.of(int4), new GemmShape(64, 32), 7), ProfileCase.parse("int4 sym g128/64x32/7"));
        assertEquals(Optional.of(new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL)), ProfileCase.parse("fp8 e4m3 channel w8a8 fast/64x32/7").scheme());
        assertEquals(Optional.empty(), ProfileCase.parse("cublasLt fp8 row fast/64x32/1").scheme());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "int4 sym g128", "int4 sym g128/64x32", "int4 sym g128/64x32/0", "int4 sym g128/64/1", "cublasLt fp4/64x32/1", "a/b/c/d"})
    void anythingElseIsRefused(String text) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> ProfileCase.parse(text));
        assertTrue(e.getMessage().contains("expected"), e.getMessage());
    }
}
