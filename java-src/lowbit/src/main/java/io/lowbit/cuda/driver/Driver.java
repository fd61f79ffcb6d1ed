package io.lowbit.cuda.driver;

import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.bindings.cuda.Cuda;
import io.lowbit.bindings.cuda.Symbols;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * The NVIDIA driver of this machine, found once by name and initialized.
 *
 * <p>The system property {@value #LIBRARY} replaces the names that are tried: names or paths, separated by the
 * platform's path separator.
 */
public final class Driver {
    /** Name of the system property that says which library is the driver. */
    public static final String LIBRARY = "lowbit.cuda.library";

    /** Oldest driver that loads the kernels: CUDA 12.0, whose PTX ISA 8.0 knows sm_90a. */
    public static final int OLDEST = 12000;

    private static final List<String> NAMES = List.of("libcuda.so.1", "libcuda.so", "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
            "/usr/lib64/libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1");

    /** Functions that are called; a driver that lacks one is refused by name before anything is called. */
    private static final String[] FUNCTIONS = {"cuInit", "cuDriverGetVersion", "cuGetErrorName", "cuGetErrorString",
        "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetPCIBusId", "cuDeviceGetAttribute", "cuDeviceTotalMem_v2", "cuDevicePrimaryCtxRetain",
        "cuDevicePrimaryCtxRelease_v2", "cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2", "cuCtxSynchronize", "cuMemGetInfo_v2",
        "cuModuleLoadDataEx", "cuModuleUnload", "cuModuleGetFunction", "cuFuncSetAttribute", "cuLaunchKernel", "cuLaunchKernelEx",
        "cuTensorMapEncodeTiled", "cuMemAllocAsync", "cuMemFreeAsync",
        "cuMemHostAlloc", "cuMemFreeHost", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoDAsync_v2", "cuMemsetD8Async",
        "cuDeviceGetDefaultMemPool", "cuMemPoolTrimTo", "cuStreamCreate", "cuStreamDestroy_v2", "cuStreamSynchronize",
        "cuStreamWaitEvent", "cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuEventCreate", "cuEventDestroy_v2", "cuEventRecord",
        "cuEventQuery", "cuEventSynchronize", "cuEventElapsedTime", "cuGraphInstantiateWithFlags", "cuGraphLaunch",
        "cuGraphExecDestroy", "cuGraphDestroy"};

    private static Driver loaded;

    private final String library;
    private final int version;

    private Driver(String library, int version) {
        this.library = library;
        this.version = version;
    }

    /**
     * The driver; found and initialized by the first call that succeeds.
     *
     * @throws BackendUnavailableException when there is none, it is too old, or it does not start
     */
    public static synchronized Driver get() {
        if (loaded == null) {
            loaded = load(names());
        }
        return loaded;
    }

    /** The version as the driver gives it: 1000·major + 10·minor of CUDA. */
    public int version() {
        return version;
    }

    /** The library that was found, as it was asked for. */
    public String library() {
        return library;
    }

    /** GPUs that CUDA shows this process. */
    public int deviceCount() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
            int result = Cuda.cuDeviceGetCount(out);
            if (result != Cuda.CUDA_SUCCESS()) {
                throw Errors.of(result, "cuDeviceGetCount", null);
            }
            return out.get(ValueLayout.JAVA_INT, 0);
        }
    }

    /** {@code 12040} as {@code 12.4}. */
    static String dotted(int version) {
        return version / 1000 + "." + version % 1000 / 10;
    }

    private static List<String> names() {
        String forced = System.getProperty(LIBRARY);
        return forced == null ? NAMES : List.of(forced.split(System.getProperty("path.separator")));
    }

    private static Driver load(List<String> names) {
        List<String> tried = new ArrayList<>();
        for (String name : names) {
            SymbolLookup lookup;
            try {
                lookup = SymbolLookup.libraryLookup(name, Arena.global());
            } catch (IllegalArgumentException e) {
                tried.add(name);
                continue;
            }
            List<String> missing = new ArrayList<>();
            for (String function : FUNCTIONS) {
                if (lookup.find(function).isEmpty()) {
                    missing.add(function);
                }
            }
            if (!missing.isEmpty()) {
                throw new BackendUnavailableException("the NVIDIA driver " + name + " is too old or not a CUDA driver: it lacks "
                        + missing.getFirst() + (missing.size() > 1 ? " and " + (missing.size() - 1) + " more functions" : "")
                        + "; install driver 525 (CUDA " + dotted(OLDEST) + ") or newer, or use --backend cpu");
            }
            Symbols.install(lookup);
            return start(name);
        }
        throw new BackendUnavailableException("no NVIDIA driver found (tried " + String.join(", ", tried)
                + "); install driver 525 (CUDA " + dotted(OLDEST) + ") or newer, or use --backend cpu");
    }

    private static Driver start(String name) {
        int result = Cuda.cuInit(0);
        if (result != Cuda.CUDA_SUCCESS()) {
            CudaException e = Errors.of(result, "cuInit", null);
            throw new BackendUnavailableException("the NVIDIA driver " + name + " does not start: " + e.getMessage(), e);
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
            result = Cuda.cuDriverGetVersion(out);
            if (result != Cuda.CUDA_SUCCESS()) {
                throw Errors.of(result, "cuDriverGetVersion", null);
            }
            int version = out.get(ValueLayout.JAVA_INT, 0);
            if (version < OLDEST) {
                throw new BackendUnavailableException("the NVIDIA driver " + name + " is too old: it knows CUDA " + dotted(version)
                        + ", the kernels need " + dotted(OLDEST) + "; install driver 525 or newer, or use --backend cpu");
            }
            return new Driver(name, version);
        }
    }
}
