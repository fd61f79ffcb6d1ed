package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.OddMatrices;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.Kernels;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.cuda.kernels.SchemeKernels;
import io.lowbit.cuda.kernels.WeightLayout;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The committed PTX: every kernel the catalogue names is there, and it is what the sources give. Needs no GPU. */
class PtxTest {
    private static final Path ROOT = Path.of(System.getProperty("lowbit.root"));

    /** Every entry point that a kernel of the catalogue, or the dequantizer, would load. */
    @Test
    void everyKernelIsInTheJar() {
        for (Architecture architecture : Architecture.values()) {
            Map<String, Set<String>> entries = new TreeMap<>();
            List<Scheme> schemes = new ArrayList<>(Schemes.ALL);
            OddMatrices.all(Arena.ofAuto()).forEach(m -> schemes.add(m.scheme()));
            for (Scheme scheme : schemes) {
                for (ProductKernel kernel : Catalogue.kernels(architecture)) {
                    entries.computeIfAbsent(kernel.file(scheme), f -> new TreeSet<>()).addAll(kernel.entries(scheme));
                    for (ActivationScaling scaling : ActivationScaling.values()) {
                        if (kernel.supports(MatrixShape.plain(scheme, 4096, 4096), DType.BF16, DType.BF16, scaling)) {
                            entries.computeIfAbsent(kernel.file(scheme, scaling), f -> new TreeSet<>()).addAll(kernel.entries(scheme, scaling));
                        }
                    }
                }
                for (WeightLayout layout : Catalogue.layouts(scheme)) {
                    entries.computeIfAbsent(SchemeKernels.file("dequantize", scheme), f -> new TreeSet<>())
                            .add("dequantize_" + layout.suffix(scheme));
                }
            }
            entries.put("w4_pack", new TreeSet<>(Set.of("pack_records_int4", "pack_records_bnb4", "pack_records_e2m1", "sort_columns")));
            entries.put("int4_quantize", new TreeSet<>(Set.of("int4_quantize_row")));
            entries.put("gather", new TreeSet<>(Set.of("gather_16", "gather_32")));
            entries.forEach((file, names) -> {
                String ptx = ptx(file, architecture);
                assertTrue(ptx.contains("\n.target " + architecture.target() + "\n"), file + " " + architecture);
                assertTrue(!names.isEmpty(), file + " " + architecture);
                for (String name : names) {
                    assertTrue(ptx.contains(".visible .entry " + architecture.prefix() + "_" + name + "("), file + " " + architecture + " " + name);
                }
            });
        }
    }

    /** No kernel asks for more than the driver of CUDA 12.4 knows (PTX ISA 8.4), the plain products for 12.0 (8.0). */
    @Test
    void ptxVersionIsOld() {
        for (Architecture architecture : Architecture.values()) {
            for (ProductKernel kernel : Catalogue.kernels(architecture)) {
                for (Scheme scheme : Schemes.ALL) {
                    double version = version(ptx(kernel.file(scheme), architecture));
                    assertTrue(version <= 8.4, kernel.file(scheme) + " " + architecture + " needs PTX ISA " + version);
                }
            }
            for (String file : List.of("gemv", "linear", "dequantize", "blocks", "gather")) {
                assertEquals(architecture == Architecture.SM90 ? 8.0 : 7.8, version(ptx(file, architecture)), file + " " + architecture);
            }
        }
    }

    private static String ptx(String file, Architecture architecture) {
        return new String(Kernels.ptx(Kernels.resource(file, architecture)), StandardCharsets.UTF_8);
    }

    private static double version(String ptx) {
        return Double.parseDouble(ptx.lines().filter(line -> line.startsWith(".version ")).findFirst().orElseThrow().substring(9));
    }

    @Tag("sources")
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
