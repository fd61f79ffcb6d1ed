package io.lowbit.cli.bench.cublaslt;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Where cuBLASLt may lie: what the loader finds by itself, CUDA toolkits, and pip's packages beside each Python. */
final class CublasLtNames {
    private static final List<String> SONAMES = List.of("libcublasLt.so.13", "libcublasLt.so.12");

    private CublasLtNames() {}

    /**
     * Names to try, best first. Files are listed only where they exist; the bare names always.
     *
     * @param environment of the process
     * @param root of the file system
     */
    static List<String> usual(Map<String, String> environment, Path root) {
        List<String> names = new ArrayList<>(SONAMES);
        for (Path folder : folders(environment, root)) {
            for (String soname : SONAMES) {
                if (Files.exists(folder.resolve(soname))) {
                    names.add(folder.resolve(soname).toString());
                }
            }
        }
        return names;
    }

    private static Set<Path> folders(Map<String, String> environment, Path root) {
        Set<Path> folders = new LinkedHashSet<>();
        for (String variable : new String[] {"CUDA_HOME", "CUDA_PATH"}) {
            if (environment.containsKey(variable)) {
                folders.add(Path.of(environment.get(variable), "lib64"));
            }
        }
        folders.add(root.resolve("usr/local/cuda/lib64"));
        Set<Path> prefixes = new LinkedHashSet<>();
        for (String variable : new String[] {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
            if (environment.containsKey(variable)) {
                prefixes.add(Path.of(environment.get(variable)));
            }
        }
        // a virtual environment that is only on the PATH: PREFIX/bin/python3
        for (String folder : environment.getOrDefault("PATH", "").split(java.io.File.pathSeparator)) {
            Path bin = Path.of(folder);
            if (bin.getParent() != null && Files.exists(bin.resolve("python3"))) {
                prefixes.add(bin.getParent());
            }
        }
        if (environment.containsKey("HOME")) {
            prefixes.add(Path.of(environment.get("HOME"), ".local"));
        }
        for (Path prefix : prefixes) {
            for (Path python : list(prefix.resolve("lib"), "python3*")) {
                for (String packages : new String[] {"site-packages", "dist-packages"}) {
                    folders.add(python.resolve(packages).resolve("nvidia/cu13/lib"));
                    folders.add(python.resolve(packages).resolve("nvidia/cublas/lib"));
                }
            }
        }
        return folders;
    }

    private static List<Path> list(Path folder, String glob) {
        List<Path> found = new ArrayList<>();
        if (Files.isDirectory(folder)) {
            try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder, glob)) {
                entries.forEach(found::add);
            } catch (IOException e) {
                // a folder that may not be read holds nothing for us
                return List.of();
            }
        }
        found.sort(null);
        return found;
    }
}
