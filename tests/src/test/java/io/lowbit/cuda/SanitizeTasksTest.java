package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What {@code kernels-cuda/sanitize.sh} runs under racecheck, held against the catalogue. */
@Tag("sources")
class SanitizeTasksTest {
    private static final Path TASKS = Path.of(System.getProperty("lowbit.root"), "kernels-cuda/sanitize.tsv");
    /** Rows that suit every layout, nested scales too. */
    private static final long[] SHAPE = {200, 4224};

    private record Task(Pattern kernels, Pattern schemes) {
        private boolean has(ProductKernel kernel, Scheme scheme) {
            return kernels.matcher(kernel.name()).matches() && schemes.matcher(KernelSweep.name(scheme)).matches();
        }
    }

    private static List<Task> tasks() throws IOException {
        return Files.readAllLines(TASKS).stream().filter(line -> !line.startsWith("#")).map(line -> line.split("\t"))
                .map(fields -> new Task(Pattern.compile(fields[0]), Pattern.compile(fields[1]))).toList();
    }

    /** Every kernel of Hopper but the exact ones, with each set of entry points that it has for some scheme, is in a task. */
    @Test
    void everyEntryPointIsInATask() throws IOException {
        List<Task> tasks = tasks();
        Set<String> missing = new TreeSet<>();
        Set<String> found = new TreeSet<>();
        for (ProductKernel kernel : Catalogue.kernels(Architecture.SM90)) {
            for (Scheme scheme : Schemes.ALL) {
                MatrixShape w = MatrixShape.plain(scheme, SHAPE[0], SHAPE[1]);
                for (int s = -1; s < ActivationScaling.values().length; s++) {
                    ActivationScaling scaling = s < 0 ? null : ActivationScaling.values()[s];
                    if (Products.some(kernel, w, scaling) && kernel.layout(w) != null) {
                        String entries = kernel.name() + ": " + (scaling == null ? kernel.entries(scheme) : kernel.entries(scheme, scaling));
                        (tasks.stream().anyMatch(task -> task.has(kernel, scheme)) ? found : missing).add(entries);
                    }
                }
            }
        }
        missing.removeAll(found);
        assertEquals(Set.of(), missing);
    }

    /** A task that names what is no longer there would end at once and prove nothing. */
    @Test
    void everyTaskHasAProduct() throws IOException {
        for (Task task : tasks()) {
            boolean any = Catalogue.kernels(Architecture.SM90).stream().anyMatch(kernel -> Schemes.ALL.stream().anyMatch(scheme -> task.has(kernel, scheme)
                    && takes(kernel, MatrixShape.plain(scheme, SHAPE[0], SHAPE[1]))));
            assertTrue(any, task.toString());
        }
    }

    private static boolean takes(ProductKernel kernel, MatrixShape w) {
        for (ActivationScaling scaling : ActivationScaling.values()) {
            if (Products.some(kernel, w, scaling)) {
                return true;
            }
        }
        return Products.some(kernel, w, null);
    }
}
