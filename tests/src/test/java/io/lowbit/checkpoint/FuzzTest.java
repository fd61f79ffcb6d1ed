package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A short run of each fuzz target; {@link FuzzTargets} says how to make it a long one. */
class FuzzTest {
    @ParameterizedTest
    @CsvSource({"safetensors, 60000", "gguf, 60000", "json, 60000", "layouts, 30000"})
    void nothingButTheTypedException(String target, long inputs) throws IOException {
        FuzzTargets.Outcome o = FuzzTargets.run(target, inputs, 20261125);
        System.out.println(o);
        assertTrue(o.accepted() > 0 && o.refused() > 0, o.toString());
    }
}
