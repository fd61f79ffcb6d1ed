package io.lowbit.cpu;

import io.lowbit.backend.BackendOptions;
import io.lowbit.checkpoint.DividedNvfp4;
import java.io.IOException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("widths")
class CpuDividedNvfp4Test {
    @Test
    void productsPickTheReferencesBits() throws IOException {
        try (CpuBackend backend = new CpuBackend(new BackendOptions(2))) {
            DividedNvfp4.productsPickTheReferencesBits(backend);
        }
    }
}
