package io.lowbit.cli.bench.cublaslt;

import io.lowbit.bindings.cublaslt.CublasLt;
import io.lowbit.bindings.cublaslt.Symbols;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The cuBLASLt of this process, found once by name.
 *
 * @param path as it was asked for
 * @param version as the library tells it: 10000·major + 100·minor + patch
 */
public record CublasLtLibrary(String path, long version) {
    /** Functions that are called; a library that lacks one is passed over by name before anything is called. */
    private static final String[] FUNCTIONS = {"cublasLtCreate", "cublasLtDestroy", "cublasLtGetVersion", "cublasLtGetStatusString",
        "cublasLtMatmul", "cublasLtMatmulAlgoGetHeuristic", "cublasLtMatmulAlgoConfigGetAttribute", "cublasLtMatmulDescCreate",
        "cublasLtMatmulDescDestroy", "cublasLtMatmulDescSetAttribute", "cublasLtMatrixLayoutCreate", "cublasLtMatrixLayoutDestroy",
        "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceDestroy", "cublasLtMatmulPreferenceSetAttribute"};

    private static CublasLtLibrary loaded;

    /**
     * The library; the first that can be loaded stays for the life of the process.
     *
     * @param file a file that alone is tried; null to look in the usual places
     * @throws CublasLtMissingException naming everything that was tried
     */
    public static synchronized CublasLtLibrary find(Path file) throws CublasLtMissingException {
        if (loaded == null) {
            List<String> names = file != null ? List.of(file.toAbsolutePath().toString()) : CublasLtNames.usual(System.getenv(), Path.of("/"));
            loaded = load(names, file != null);
        }
        return loaded;
    }

    static CublasLtLibrary load(List<String> names, boolean asked) throws CublasLtMissingException {
        List<String> tried = new ArrayList<>();
        for (String name : names) {
            SymbolLookup lookup;
            try {
                lookup = SymbolLookup.libraryLookup(name, Arena.global());
            } catch (IllegalArgumentException e) {
                tried.add(name);
                continue;
            }
            String lacking = null;
            for (String function : FUNCTIONS) {
                if (lookup.find(function).isEmpty()) {
                    lacking = function;
                }
            }
            if (lacking != null) {
                tried.add(name + " (which lacks " + lacking + ")");
                continue;
            }
            Symbols.install(lookup);
            return new CublasLtLibrary(name, CublasLt.cublasLtGetVersion());
        }
        throw new CublasLtMissingException("no cuBLASLt: cannot load " + String.join(", ", tried)
                + (asked ? "; name the file libcublasLt.so.12 or .13 itself" : "; install the CUDA toolkit or pip's nvidia-cublas, or name the file with --cublaslt"));
    }

    /** For example {@code cuBLASLt 13.1.0 (libcublasLt.so.13)}. */
    @Override
    public String toString() {
        return "cuBLASLt " + version / 10000 + "." + version / 100 % 100 + "." + version % 100 + " (" + path + ")";
    }
}
