package io.lowbit.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.BackendProductCases;
import io.lowbit.backend.ProductCase;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The cases of every backend on the CPU, at the vector width of this run, and that threads change no bit. */
@Tag("widths")
class CpuProductTest extends BackendProductCases {
    private static CpuBackend one;
    private static CpuBackend two;
    private static CpuBackend five;

    @BeforeAll
    static void open() {
        one = new CpuBackend(new BackendOptions(1));
        two = new CpuBackend(new BackendOptions(2));
        five = new CpuBackend(new BackendOptions(5));
    }

    @Override
    protected Backend backend() {
        return two;
    }

    @AfterAll
    static void close() {
        one.close();
        two.close();
        five.close();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("schemes")
    void bitsDoNotDependOnTheNumberOfThreads(Scheme scheme) {
        for (int m : ProductCase.ROWS) {
            ProductCase c = new ProductCase(scheme, m, 201, 259, DType.F32, DType.F32, DType.F32, 77 + m);
            try (Arena arena = Arena.ofShared()) {
                float[] expected = forward(one, c, arena);
                for (CpuBackend backend : List.of(one, two, five)) {
                    float[] again = forward(backend, c, arena);
                    for (int i = 0; i < expected.length; i++) {
                        int at = i;
                        assertEquals(Float.floatToRawIntBits(expected[i]), Float.floatToRawIntBits(again[i]),
                                () -> c + " on " + backend.description() + ", element " + at);
                    }
                }
            }
        }
    }

    @Test
    void backendIsFoundByName() {
        var selection = io.lowbit.backend.Backends.open("cpu", new BackendOptions(2));
        try (var backend = selection.backend()) {
            assertEquals("cpu", backend.name());
            assertNotNull(backend.description());
            assertTrue(backend.description().contains(io.lowbit.simd.Simd.reason()), backend.description());
        }
    }
}
