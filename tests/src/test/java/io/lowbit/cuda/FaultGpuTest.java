package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** A kernel that faults breaks the context: every later call fails with the first cause, and closing still works. */
@Tag("gpu")
class FaultGpuTest {
    @Test
    void everyLaterCallNamesTheFirstCause() throws Exception {
        Gpu.require();
        String later = "CUDA_ERROR_ILLEGAL_ADDRESS 700 first CUDA_ERROR_ILLEGAL_ADDRESS\n";
        assertEquals("CUDA_ERROR_ILLEGAL_ADDRESS 700\n" + later + later + later + "closed\ndone\n", ChildJvm.run(FaultProbe.class));
    }
}
