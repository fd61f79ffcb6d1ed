package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.cuda.driver.DeviceInfo;
import io.lowbit.cuda.driver.Driver;
import io.lowbit.cuda.kernels.Architecture;
import java.io.File;
import org.junit.jupiter.api.Test;

/** What the CUDA backend says where it cannot run; needs no GPU. */
class RefusalTest {
    @Test
    void missingLibraryNamesEveryNameThatWasTried() throws Exception {
        String out = ChildJvm.run(RefusalProbe.class,
                "-D" + Driver.LIBRARY + "=/nowhere/libcuda.so.1" + File.pathSeparator + "libno-such-driver.so");
        String refusal = "no NVIDIA driver found (tried /nowhere/libcuda.so.1, libno-such-driver.so); install driver 525 (CUDA 12.0) or newer, "
                + "or use --backend cpu";
        assertEquals(refusal, out.lines().findFirst().orElse(""));
        // auto goes on to the CPU and says why not to the GPU.
        assertTrue(out.lines().skip(1).findFirst().orElse("").contains("cuda: " + refusal), out);
    }

    @Test
    void libraryThatIsNoDriverNamesWhatItLacks() throws Exception {
        String out = ChildJvm.run(RefusalProbe.class, "-D" + Driver.LIBRARY + "=libc.so.6");
        assertTrue(out.startsWith("the NVIDIA driver libc.so.6 is too old or not a CUDA driver: it lacks cuInit and "), out);
        assertTrue(out.lines().findFirst().orElse("").endsWith("or use --backend cpu"), out);
    }

    @Test
    void oldGpuIsRefusedByComputeCapability() {
        DeviceInfo ampere = new DeviceInfo(0, "NVIDIA A100", 8, 0, 108, 80L << 30, 40 << 20, 12040);
        assertEquals("NVIDIA A100 is too old: compute capability 8.0, the kernels need 8.9 (Ada) or newer; use --backend cpu",
                assertThrows(BackendUnavailableException.class, () -> Architecture.of(ampere)).getMessage());
        assertEquals(Architecture.SM89, Architecture.of(new DeviceInfo(0, "NVIDIA L4", 8, 9, 58, 1, 1, 12040)));
        assertEquals(Architecture.SM90, Architecture.of(new DeviceInfo(0, "NVIDIA H100", 9, 0, 132, 1, 1, 12040)));
        assertEquals(Architecture.SM89, Architecture.of(new DeviceInfo(0, "NVIDIA B200", 10, 0, 148, 1, 1, 12080)));
    }
}
