package io.lowbit.cli;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.checkpoint.Verifier;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** {@code lowbit verify}: known corruptions of a checkpoint. */
@Command(name = "verify", description = "Look for known corruptions: zero points of the wrong version, NaN, infinite or zero scales, missing parts, "
        + "shapes that disagree, NaN weights, Git LFS pointers. Exit 1 if there is any.")
final class VerifyCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "FILE", description = "A .safetensors, .gguf or .onnx file, or a folder.")
    private Path file;

    @Mixin
    private ReadOption read;

    @Mixin
    private ThreadsOption threads;

    @Mixin
    private Output output;

    @Override
    public Integer call() throws Exception {
        List<Verifier.Finding> findings;
        int layers;
        int tensors;
        try (Checkpoint checkpoint = read.open(file)) {
            layers = Layouts.of(checkpoint).layers().size();
            tensors = checkpoint.names().size();
            try (Progress progress = output.progress("verify", tensors)) {
                findings = Verifier.verify(checkpoint, threads.count(), name -> progress.step(1, name));
            }
        }
        List<Object> rows = new ArrayList<>();
        for (Verifier.Finding f : findings) {
            output.line("%s: %s", f.where(), f.what());
            rows.add(Map.of("where", f.where(), "what", f.what()));
        }
        output.line("%s: %d tensors, %d quantized layers, %s", file, tensors, layers, findings.isEmpty() ? "nothing wrong found" : findings.size() + " findings");
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("file", file.toString());
        document.put("tensors", tensors);
        document.put("layers", layers);
        document.put("findings", rows);
        output.document(document);
        if (findings.isEmpty()) {
            return 0;
        }
        throw new CliException(file + ": " + findings.size() + (findings.size() == 1 ? " finding" : " findings") + ", the first: " + findings.getFirst().where() + ": "
                + findings.getFirst().what() + "; do not use it before its maker has mended it");
    }
}
