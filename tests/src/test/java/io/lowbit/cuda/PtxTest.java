package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.OddMatrices;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.KernelFamily;
import io.lowbit.cuda.kernels.Kernels;
import io.lowbit.cuda.kernels.SchemeKernels;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The committed PTX: every kernel the catalogue names is there, and it is what the sources give. Needs no GPU. */
class PtxTest {
    private static final Path ROOT = Path.of(System.getProperty("lowbit.root"));

    @Test
    void everyKernelIsInTheJar() {
        for (Architecture architecture : Architecture.values()) {
            for (KernelFamily family : KernelFamily.values()) {
                String ptx = new String(Kernels.ptx(family.file() + "." + architecture.target() + ".ptx"), StandardCharsets.UTF_8);
                assertTrue(ptx.contains("\n.target " + architecture.target() + "\n"), family + " " + architecture);
                if (family == KernelFamily.BLOCKS) {
                    for (QuantizedMatrix m : OddMatrices.all(Arena.ofAuto())) {
                        for (String operation : List.of("gemv_", "linear_", "dequantize_")) {
                            String name = architecture.prefix() + "_" + operation + SchemeKernels.suffix(m.scheme());
                            assertTrue(!SchemeKernels.inBlocksFile(m.scheme()) || ptx.contains(".visible .entry " + name + "("), name);
                        }
                    }
                } else if (family != KernelFamily.W8A8) {
                    for (Scheme scheme : Schemes.ALL) {
                        String name = architecture.prefix() + "_" + family.file() + "_" + SchemeKernels.suffix(scheme);
                        assertTrue(ptx.contains(".visible .entry " + name + "("), name);
                    }
                }
            }
        }
    }

    /** No kernel asks for more than the driver of CUDA 12.4 knows (PTX ISA 8.4), the plain products for 12.0 (8.0). */
    @Test
    void ptxVersionIsOld() {
        for (Architecture architecture : Architecture.values()) {
            for (KernelFamily family : KernelFamily.values()) {
                String ptx = new String(Kernels.ptx(family.file() + "." + architecture.target() + ".ptx"), StandardCharsets.UTF_8);
                String version = ptx.lines().filter(line -> line.startsWith(".version ")).findFirst().orElse("");
                assertEquals(".version " + (family == KernelFamily.W8A8 ? "8.4" : architecture == Architecture.SM90 ? "8.0" : "7.8"), version);
            }
        }
    }

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void committedPtxIsWhatTheSourcesGive() throws Exception {
        if (!onPath("nvcc") || !onPath("ptxas")) {
            System.out.println("SKIPPED: kernels-cuda/build.sh --check needs nvcc and ptxas on the PATH");
            Assumptions.abort("no nvcc and ptxas on the PATH");
        }
        Process process = new ProcessBuilder(ROOT.resolve("kernels-cuda/build.sh").toString(), "--check").redirectErrorStream(true).start();
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        int status = process.waitFor();
        System.out.println(out);
        // 2: tools of another release; their output would differ for that reason alone.
        Assumptions.assumeFalse(status == 2, out);
        assertEquals(0, status, out);
    }

    private static boolean onPath(String tool) {
        for (String folder : System.getenv().getOrDefault("PATH", "").split(java.io.File.pathSeparator)) {
            if (Files.isExecutable(Path.of(folder, tool))) {
                return true;
            }
        }
        return false;
    }
}
