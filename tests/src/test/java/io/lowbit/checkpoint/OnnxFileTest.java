package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** ONNX models built here field by field, and readers of both formats under random damage. */
class OnnxFileTest {
    @TempDir
    Path folder;

    /** Just enough protobuf to write a model. */
    private static final class Proto {
        final ByteArrayOutputStream out = new ByteArrayOutputStream();

        Proto number(int field, long value) {
            varint((long) field << 3);
            varint(value);
            return this;
        }

        Proto bytes(int field, byte[] b) {
            varint((long) field << 3 | 2);
            varint(b.length);
            out.writeBytes(b);
            return this;
        }

        Proto text(int field, String s) {
            return bytes(field, s.getBytes(StandardCharsets.UTF_8));
        }

        Proto message(int field, Proto p) {
            return bytes(field, p.out.toByteArray());
        }

        private void varint(long v) {
            while ((v & ~0x7fL) != 0) {
                out.write((int) (v & 0x7f | 0x80));
                v >>>= 7;
            }
            out.write((int) v);
        }
    }

    private static byte[] floats(float... values) {
        ByteBuffer b = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        for (float v : values) {
            b.putFloat(v);
        }
        return b.array();
    }

    private static Proto tensor(String name, int type, long... dims) {
        Proto p = new Proto();
        for (long d : dims) {
            p.number(1, d);
        }
        return p.number(2, type).text(8, name);
    }

    private static Proto node(String op, String name, String... io) {
        Proto p = new Proto();
        for (int i = 0; i < io.length - 1; i++) {
            p.text(1, io[i]);
        }
        return p.text(2, io[io.length - 1]).text(3, name).text(4, op);
    }

    private static Proto model(Proto graph) {
        return new Proto().number(1, 8).text(2, "test").message(7, graph);
    }

    private Path write(Proto model) throws IOException {
        return Files.write(folder.resolve("m.onnx"), model.out.toByteArray());
    }

    private static Proto graph() {
        return new Proto()
                .message(1, node("MatMul", "/block.0/query/MatMul", "x", "onnx::MatMul_9", "y"))
                .message(1, node("Gemm", "/head/Gemm", "y", "head.weight", "z").message(5, new Proto().text(1, "transB").number(3, 1)))
                .message(1, node("Transpose", "/t", "tied.weight", "t").message(5, new Proto().text(1, "perm").number(8, 1).number(8, 0)))
                .message(1, node("MatMul", "/tied/MatMul", "z", "t", "u"))
                .message(5, tensor("onnx::MatMul_9", 1, 2, 3).bytes(9, floats(1, 2, 3, 4, 5, 6)))
                .message(5, tensor("head.weight", 1, 3, 2).bytes(4, floats(1, 2, 3, 4, 5, 6)))
                .message(5, tensor("tied.weight", 16, 1, 2).bytes(9, new byte[] {(byte) 0x80, 0x3f, 0, 0x40}))
                .message(5, tensor("half", 10, 2).number(5, 0x3c00).number(5, 0xc000))
                .message(5, tensor("double", 11, 1).bytes(9, ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putDouble(0.5).array()))
                .message(5, tensor("ids", 7, 2).number(7, -1).number(7, 300))
                .message(5, tensor("words", 8, 1).text(6, "x"));
    }

    @Test
    void tensorsAndLayers() throws IOException {
        try (Checkpoint c = Checkpoint.open(write(model(graph()))); Arena arena = Arena.ofConfined()) {
            assertEquals(List.of("onnx::MatMul_9", "head.weight", "tied.weight", "half", "double", "ids"), List.copyOf(c.names()));
            assertEquals(1, c.notes().size());
            assertArrayEquals(new float[] {1, -2}, c.tensor("half").toFloats());
            assertEquals(TensorSpec.of(DType.I64, 2), TensorSpec.of(c.tensor("ids")));
            List<LinearWeight> linear = c.linearWeights();
            assertEquals(List.of(
                    new LinearWeight("block.0.query", "onnx::MatMul_9", 3, 2, true),
                    new LinearWeight("head", "head.weight", 3, 2, false),
                    new LinearWeight("tied", "tied.weight", 1, 2, false)), linear);
            Tensor query = linear.get(0).load(c, arena);
            assertArrayEquals(new float[] {1, 4, 2, 5, 3, 6}, query.toFloats());
            assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, linear.get(1).load(c, arena).toFloats());
            assertArrayEquals(new float[] {1, 2}, linear.get(2).load(c, arena).toFloats());
        }
    }

    @Test
    void refused() throws IOException {
        List<Proto> wrong = List.of(
                new Proto().number(1, 8), model(graph()).message(7, new Proto()),
                model(new Proto().message(5, tensor("w", 1, 2, 3).bytes(9, new byte[20]))),
                model(new Proto().message(5, tensor("w", 1, 2, 3).bytes(4, new byte[20]))),
                model(new Proto().message(5, tensor("w", 1, -2, -3).bytes(9, new byte[24]))),
                model(new Proto().message(5, tensor("w", 1, 1L << 62, 4).bytes(9, new byte[0]))),
                model(new Proto().message(5, tensor("w", 1, 1L << 40, 1L << 40, 0).bytes(9, new byte[0]))),
                model(new Proto().message(5, tensor("w", 1, 1).bytes(9, new byte[4])).message(5, tensor("w", 1, 1).bytes(9, new byte[4]))),
                model(new Proto().message(5, tensor("w", 1, 1).bytes(9, new byte[4]).bytes(9, new byte[4]))),
                model(new Proto().message(5, tensor("w\u0007", 1, 1).bytes(9, new byte[4]))),
                model(new Proto().message(5, tensor("w", 1, 1).number(14, 1).message(13, new Proto().text(1, "location").text(2, "../m.onnx")))),
                model(new Proto().message(5, tensor("w", 1, 1).number(14, 1).message(13, new Proto().text(1, "location").text(2, "none")))));
        for (Proto p : wrong) {
            Path path = write(p);
            SafetensorsFileTest.assertOneLine(assertThrows(CheckpointException.class, () -> OnnxFile.open(path)), path);
        }
    }

    @Test
    void externalData() throws IOException {
        Files.write(folder.resolve("data.bin"), floats(9, 1, 2));
        Path path = write(model(new Proto().message(5, tensor("w", 1, 2).number(14, 1)
                .message(13, new Proto().text(1, "location").text(2, "data.bin")).message(13, new Proto().text(1, "offset").text(2, "4")))));
        try (OnnxFile f = OnnxFile.open(path)) {
            assertArrayEquals(new float[] {1, 2}, f.tensors().get("w").toFloats());
        }
        Files.write(folder.resolve("data.bin"), floats(9, 1));
        assertThrows(CheckpointException.class, () -> OnnxFile.open(path));
    }

    /** Whatever happens to the bytes: a checkpoint that reads, or a CheckpointException; nothing else. */
    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1, 2, 3})
    void damagedFiles(long seed) throws IOException {
        byte[] onnx = model(graph()).out.toByteArray();
        byte[] safetensors = Files.readAllBytes(Golden.path("malformed/ok_metadata.safetensors"));
        byte[] quantized = Files.readAllBytes(Golden.path("nvfp4/compressed_tensors.safetensors"));
        Random random = new Random(seed);
        int refused = 0;
        for (int i = 0; i < 1000; i++) {
            byte[] source = i % 3 == 0 ? onnx : i % 3 == 1 ? safetensors : quantized;
            byte[] bytes = source.clone();
            for (int flips = random.nextInt(4); flips >= 0; flips--) {
                bytes[random.nextInt(Math.min(bytes.length, 600))] ^= (byte) (1 << random.nextInt(8));
            }
            if (random.nextInt(4) == 0) {
                bytes = java.util.Arrays.copyOf(bytes, random.nextInt(bytes.length));
            }
            Path path = Files.write(folder.resolve(source == onnx ? "f.onnx" : "f.safetensors"), bytes);
            try (Checkpoint c = Checkpoint.open(path); Arena arena = Arena.ofShared()) {
                c.tensors().values().forEach(t -> t.data().byteSize());
                c.linearWeights().forEach(w -> w.load(c, arena));
                Layouts layouts = Layouts.of(c);
                layouts.layers().forEach(l -> layouts.read(l, arena));
            } catch (CheckpointException e) {
                refused++;
                assertEquals(1, e.getMessage().lines().count(), e.getMessage());
            }
        }
        assertTrue(refused > 300, "only " + refused + " refused");
    }
}
