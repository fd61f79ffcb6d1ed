package io.lowbit.cli;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.ReadOptions;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** How checkpoints are opened: {@code --config}, {@code --gptq-zeros}. Use as {@code @Mixin ReadOption read}. */
public final class ReadOption {
    @Option(names = "--config", paramLabel = "FILE", description = "The model's configuration. Default: config.json beside it.")
    private Path config;

    @Option(names = "--gptq-zeros", paramLabel = "field|word",
            description = "How zero points come out of GPTQ files of version 1 that store a 15: field by field, or as GPTQModel's "
                    + "writer packed them, word by word. Default: field.")
    private ReadOptions.GptqZeros zeros;

    /** Opens a model as the options say. */
    public Checkpoint open(Path path) throws IOException {
        Checkpoint c = Checkpoint.open(path, config);
        return zeros == null ? c : c.with(new ReadOptions(zeros));
    }
}
