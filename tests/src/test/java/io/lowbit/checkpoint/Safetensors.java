package io.lowbit.checkpoint;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Builds safetensors files byte by byte, right and wrong ones. */
final class Safetensors {
    private Safetensors() {}

    static byte[] bytes(byte[] header, int dataBytes) {
        ByteBuffer out = ByteBuffer.allocate(8 + header.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
        out.putLong(header.length).put(header);
        return out.array();
    }

    static Path file(Path folder, String header, int dataBytes) throws IOException {
        return Files.write(folder.resolve("t.safetensors"), bytes(header.getBytes(StandardCharsets.UTF_8), dataBytes));
    }
}
