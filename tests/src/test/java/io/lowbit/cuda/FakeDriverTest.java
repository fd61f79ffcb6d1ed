package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.driver.Driver;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Drivers and GPUs that this machine does not have: a library of the driver's functions is compiled for each case, and a JVM
 * of its own takes it for the driver. Each refusal says why and what helps, and {@code auto} goes to the CPU with it. Needs a
 * C compiler and no GPU.
 */
class FakeDriverTest {
    private static final String CLOSED = "still open: 0 contexts, 0 streams, 0 events, 0 modules, 0 graphs, 0 blocks of 0 bytes, 0 pinned\n";

    @TempDir
    Path folder;

    /** What {@code probe} prints on a driver compiled with {@code definitions}. */
    private String run(Class<?> probe, String... definitions) throws Exception {
        Path source = folder.resolve("fakedriver.c");
        try (InputStream in = FakeDriverTest.class.getResourceAsStream("fakedriver.c")) {
            Files.write(source, in.readAllBytes());
        }
        Path library = folder.resolve("libcuda.so.1");
        List<String> command = new ArrayList<>(List.of("cc", "-shared", "-fPIC", "-O1", "-o", library.toString(), source.toString()));
        command.addAll(Arrays.asList(definitions));
        Process process;
        try {
            process = new ProcessBuilder(command).redirectErrorStream(true).start();
        } catch (IOException e) {
            System.out.println("SKIPPED: a fake driver needs a C compiler named cc on the PATH");
            Assumptions.abort("no C compiler");
            throw e;
        }
        String log = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), log);
        return ChildJvm.run(probe, "-D" + Driver.LIBRARY + "=" + library);
    }

    private void refused(String expected, String... definitions) throws Exception {
        String reason = expected.replace(" LIBRARY ", " " + folder.resolve("libcuda.so.1") + " ");
        List<String> lines = run(RefusalProbe.class, definitions).lines().toList();
        assertEquals(reason, lines.getFirst());
        assertTrue(lines.get(1).startsWith("opened ") && lines.get(1).contains("cuda: " + reason), lines.toString());
        assertTrue(lines.getLast().startsWith("still open: 0 contexts, 0 streams, "), lines.toString());
    }

    @Test
    void oldDriver() throws Exception {
        refused("the NVIDIA driver LIBRARY is too old: it knows CUDA 11.8, the kernels need 12.0; install driver 525 or newer, or use --backend cpu",
                "-DVERSION=11080");
    }

    @Test
    void driverThatDoesNotStart() throws Exception {
        refused("the NVIDIA driver LIBRARY does not start: cuInit: CUDA_ERROR_STUB_LIBRARY (34), said by a fake driver; libcuda.so.1 is the toolkit's "
                + "stub: put the driver's own library first in the search path", "-DINIT=34");
        refused("the NVIDIA driver LIBRARY does not start: cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803), said by a fake driver; the driver's "
                + "library and kernel module do not fit: reinstall the driver or restart the machine", "-DINIT=803");
    }

    @Test
    void noGpu() throws Exception {
        refused("the NVIDIA driver LIBRARY does not start: cuInit: CUDA_ERROR_NO_DEVICE (100), said by a fake driver; check nvidia-smi and "
                + "CUDA_VISIBLE_DEVICES, or use --backend cpu", "-DINIT=100");
        refused("the NVIDIA driver shows no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --backend cpu", "-DCOUNT=0");
    }

    @Test
    void oldGpu() throws Exception {
        refused("Fake GPU is too old: compute capability 8.6, the kernels need 8.9 (Ada) or newer; use --backend cpu", "-DMAJOR=8", "-DMINOR=6");
        refused("Fake GPU (compute capability 9.0, 132 SMs, 1 GiB, driver CUDA 12.0) has no stream-ordered memory in this driver; update the driver, "
                + "or use --backend cpu", "-DPOOLS=0", "-DVERSION=12000");
    }

    @Test
    void gpuThatIsTaken() throws Exception {
        refused("Fake GPU (compute capability 9.0, 132 SMs, 1 GiB, driver CUDA 13.0) gives no context: cuDevicePrimaryCtxRetain: "
                + "CUDA_ERROR_DEVICE_UNAVAILABLE (46), said by a fake driver; another process holds the GPU exclusively: wait for it, or use "
                + "--backend cpu", "-DRETAIN=46");
    }

    /** As {@link FaultGpuTest} on a GPU: after the fault CUDA frees nothing any more, so its objects stay open. */
    @Test
    void aFaultBreaksTheContextForGood() throws Exception {
        String later = "CUDA_ERROR_ILLEGAL_ADDRESS 700 first CUDA_ERROR_ILLEGAL_ADDRESS\n";
        String out = run(FaultProbe.class);
        assertEquals("CUDA_ERROR_ILLEGAL_ADDRESS 700\n" + later + later + later + "closed\ndone\n", out.substring(0, out.indexOf("still open: 0 contexts")));
    }

    /** As {@link DriverGpuTest} on a GPU: whatever is opened is closed, also where memory runs out. */
    @Test
    void everythingIsGivenBack() throws Exception {
        String out = run(CyclesProbe.class);
        String refusal = out.lines().skip(1).findFirst().orElse("");
        assertTrue(refusal.startsWith("cuMemAllocAsync: CUDA_ERROR_OUT_OF_MEMORY (2), said by a fake driver: 1099511627776 bytes"), out);
        assertTrue(refusal.endsWith("; close layers, or load a smaller model or a scheme of fewer bits"), out);
        assertEquals("1000 cycles changed free memory by 0\n" + refusal + "\nrunning out of memory changed free memory by 0\n"
                + "100 cycles with act-order changed free memory by 0\n" + CLOSED, out);
    }
}
