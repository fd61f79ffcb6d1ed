package io.lowbit.cuda;

import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.KernelChoice;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;

/** The GPU that device tests run on, or the reason why they are skipped. */
public final class Gpu {
    /** Makes a skip an error, for machines that are there for their GPU. */
    public static final String REQUIRED = "lowbit.tests.gpu";

    private Gpu() {}

    /** A backend with the given kernels; without a GPU the test is skipped, loudly. */
    public static CudaBackend open(Architecture architecture, KernelChoice choice) {
        require();
        return CudaBackend.open(0, architecture, choice);
    }

    public static CudaBackend open() {
        require();
        return CudaBackend.open(0);
    }

    /** Skips the test where no GPU can be used; fails it there where {@value #REQUIRED} is set. */
    public static void require() {
        try (Context context = Context.open(0)) {
            Architecture.of(context.device());
        } catch (BackendUnavailableException e) {
            if (System.getProperty(REQUIRED) != null) {
                throw e;
            }
            System.out.println("SKIPPED on this machine, device test: " + e.getMessage());
            Assumptions.abort(e.getMessage());
        }
    }

    /** The architectures whose kernels this GPU runs: its own, and sm_89 for all. Both where there is no GPU, to be skipped by name. */
    public static Stream<Architecture> architectures() {
        List<Architecture> list = new ArrayList<>(List.of(Architecture.SM89));
        try (Context context = Context.open(0)) {
            if (Architecture.of(context.device()) == Architecture.SM90) {
                list.add(Architecture.SM90);
            }
        } catch (BackendUnavailableException e) {
            list.add(Architecture.SM90);
        }
        return list.stream();
    }
}
