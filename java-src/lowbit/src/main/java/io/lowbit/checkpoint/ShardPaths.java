package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;

/** Files that another file names: they must lie in its folder. */
final class ShardPaths {
    private ShardPaths() {}

    /**
     * {@code name}, given in {@code source}, as a file in {@code folder}.
     *
     * @throws CheckpointException for absolute paths, {@code ..}, links that leave the folder, and files that are not there
     */
    static Path resolve(Path source, Path folder, String name) throws IOException {
        Path relative;
        try {
            relative = Path.of(name);
        } catch (InvalidPathException e) {
            throw refused(source, name, "which is no path");
        }
        if (name.isEmpty() || Names.unfit(name)) {
            throw refused(source, name, "which is no file name");
        }
        if (relative.isAbsolute() || name.startsWith("/") || name.indexOf('\\') >= 0 || name.matches("[A-Za-z]:.*")) {
            throw refused(source, name, "an absolute path");
        }
        for (Path part : relative) {
            if (part.toString().equals("..")) {
                throw refused(source, name, "which leaves the folder");
            }
        }
        Path file = folder.resolve(relative);
        if (!Files.exists(file)) {
            throw new CheckpointException(Fault.INDEX, source.toString(), "names the file " + CheckpointException.quote(name) + ", which is not there",
                    "download the missing file into the same folder");
        }
        if (!file.toRealPath().startsWith(root(folder.toRealPath()))) {
            throw refused(source, name, "a link out of the folder");
        }
        return file;
    }

    /** The folder itself; in a Hugging Face cache (models--X/snapshots/REVISION, links to models--X/blobs) that of the model. */
    private static Path root(Path folder) {
        Path snapshots = folder.getParent();
        if (snapshots != null && snapshots.endsWith("snapshots") && snapshots.getParent() != null
                && String.valueOf(snapshots.getParent().getFileName()).startsWith("models--")) {
            return snapshots.getParent();
        }
        return folder;
    }

    private static CheckpointException refused(Path source, String name, String why) {
        return new CheckpointException(Fault.INDEX, source.toString(), "names the file " + CheckpointException.quote(name) + ", " + why,
                "do not trust the file, or put what it names into its folder");
    }
}
