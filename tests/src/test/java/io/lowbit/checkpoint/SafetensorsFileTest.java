package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

class SafetensorsFileTest {
    private static final String A = "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";

    @TempDir
    Path folder;

    static Stream<Path> malformed() throws IOException {
        List<Path> files;
        try (Stream<Path> list = Files.list(Golden.path("malformed"))) {
            files = list.filter(p -> p.toString().endsWith(".safetensors") && !p.getFileName().toString().startsWith("ok_")).sorted().toList();
        }
        assertEquals(32, files.size());
        return files.stream();
    }

    @ParameterizedTest
    @MethodSource("malformed")
    void everyMalformedFileIsRefusedInOneLine(Path file) {
        CheckpointException e = assertThrows(CheckpointException.class, () -> SafetensorsFile.open(file));
        System.out.println(e.fault() + ": " + e.getMessage().replace(file.getParent() + "/", ""));
        assertOneLine(e, file);
    }

    @Test
    void controlsAreAccepted() throws IOException {
        try (SafetensorsFile f = SafetensorsFile.open(Golden.path("malformed/ok_control.safetensors"))) {
            assertEquals(List.of("a", "b"), List.copyOf(f.tensors().keySet()));
        }
        try (SafetensorsFile f = SafetensorsFile.open(Golden.path("malformed/ok_metadata.safetensors"))) {
            assertFalse(f.metadata().isEmpty());
        }
        try (SafetensorsFile f = SafetensorsFile.open(Golden.path("malformed/ok_empty_and_scalar.safetensors"))) {
            assertEquals(0, f.tensor("zero").elements());
            assertEquals(0, f.tensor("scalar").shape().rank());
            assertEquals(1, f.tensor("scalar").elements());
        }
    }

    /** The reject list of the format notes, row by row; golden files cover some rows again with other bytes. */
    static Stream<Arguments> rejectList() {
        String b = "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":";
        return Stream.of(
                row(5, "byte order mark", Fault.HEADER, "\ufeff{" + A + "}", 8),
                row(6, "not JSON", Fault.HEADER_JSON, "{" + A + ",}", 8),
                row(6, "garbage after }", Fault.HEADER_JSON, "{" + A + "} x}", 8),
                row(6, "garbage at the end", Fault.HEADER_JSON, "{" + A + "}x", 8),
                row(6, "a line feed as padding", Fault.HEADER_JSON, "{" + A + "}\n", 8),
                row(6, "not an object", Fault.HEADER, "[1]", 0),
                row(6, "nesting", Fault.HEADER_JSON, "{\"a\":{\"dtype\":\"F32\",\"shape\":[[[2]]],\"data_offsets\":[0,8]}}", 8),
                row(6, "NaN", Fault.HEADER_JSON, "{\"a\":{\"dtype\":\"F32\",\"shape\":[NaN],\"data_offsets\":[0,8]}}", 8),
                row(6, "Infinity", Fault.HEADER_JSON, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,Infinity]}}", 8),
                row(6, "comment", Fault.HEADER_JSON, "{/*x*/" + A + "}", 8),
                row(7, "space first", Fault.HEADER, " {" + A + "}", 8),
                row(8, "tensor name twice", Fault.HEADER_JSON, "{" + A + "," + A + "}", 8),
                row(8, "tensor name twice, once escaped", Fault.HEADER_JSON, "{" + A + "," + A.replace("\"a\"", "\"\\u0061\"") + "}", 8),
                row(8, "field twice", Fault.HEADER_JSON, "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8),
                row(9, "unknown dtype", Fault.TENSOR_INFO, "{" + A.replace("F32", "F31") + "}", 8),
                row(9, "dtype no string", Fault.TENSOR_INFO, "{" + A.replace("\"F32\"", "32") + "}", 8),
                row(9, "unknown field", Fault.TENSOR_INFO, "{" + A.replace("\"shape\"", "\"x\":1,\"shape\"") + "}", 8),
                row(9, "missing shape", Fault.TENSOR_INFO, "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8),
                row(9, "missing offsets", Fault.TENSOR_INFO, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8),
                row(9, "entry no object", Fault.TENSOR_INFO, "{\"a\":7}", 0),
                row(10, "float dimension", Fault.TENSOR_INFO, "{" + A.replace("[2]", "[2.0]") + "}", 8),
                row(10, "dimension with exponent", Fault.TENSOR_INFO, "{" + A.replace("[2]", "[2e0]") + "}", 8),
                row(10, "negative dimension", Fault.TENSOR_INFO, "{" + A.replace("[2]", "[-2]") + "}", 8),
                row(10, "negative zero", Fault.TENSOR_INFO, "{" + A.replace("[0,8]", "[-0,8]") + "}", 8),
                row(10, "string dimension", Fault.TENSOR_INFO, "{" + A.replace("[2]", "[\"2\"]") + "}", 8),
                row(10, "beyond 2^53", Fault.TENSOR_INFO, "{" + A.replace("[2]", "[9007199254740993]") + "}", 8),
                row(10, "beyond u64", Fault.TENSOR_INFO, "{" + A.replace("[0,8]", "[0,18446744073709551624]") + "}", 8),
                row(11, "backwards", Fault.OFFSET, "{" + A.replace("[0,8]", "[8,0]") + "}", 8),
                row(11, "gap", Fault.OFFSET, "{" + A + "," + b + "[12,16]}}", 16),
                row(11, "overlap", Fault.OFFSET, "{" + A + "," + b + "[4,8]}}", 8),
                row(11, "gap at the start", Fault.OFFSET, "{" + A.replace("[0,8]", "[8,16]") + "}", 16),
                row(12, "more bytes than elements", Fault.TENSOR_INFO, "{" + A.replace("[0,8]", "[0,16]") + "}", 16),
                row(12, "fewer bytes than elements", Fault.TENSOR_INFO, "{" + A.replace("[0,8]", "[0,4]") + "}", 4),
                row(13, "product overflows", Fault.OVERFLOW, "{" + A.replace("[2]", "[4294967296,4294967296]") + "}", 8),
                row(13, "bits overflow", Fault.OVERFLOW, "{" + A.replace("[2]", "[4503599627370496,256]") + "}", 8),
                row(13, "a zero hides the overflow", Fault.OVERFLOW,
                        "{" + A.replace("[2]", "[1099511627776,1099511627776,0]").replace("[0,8]", "[0,0]") + "}", 0),
                row(13, "a zero hides the overflow of bits", Fault.OVERFLOW,
                        "{" + A.replace("[2]", "[0,4503599627370496,128]").replace("[0,8]", "[0,0]") + "}", 0),
                row(14, "three F4", Fault.MISALIGNED, "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2),
                row(14, "two F6", Fault.MISALIGNED, "{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2),
                row(15, "bytes behind", Fault.INCOMPLETE, "{" + A + "}", 9),
                row(15, "file too short", Fault.INCOMPLETE, "{" + A + "}", 7),
                row(15, "bytes and no tensor", Fault.INCOMPLETE, "{}", 1),
                row(16, "metadata number", Fault.METADATA, "{\"__metadata__\":{\"x\":1}," + A + "}", 8),
                row(16, "metadata null", Fault.METADATA, "{\"__metadata__\":null," + A + "}", 8),
                row(16, "metadata list", Fault.METADATA, "{\"__metadata__\":[\"x\"]," + A + "}", 8),
                row(16, "tensor named __metadata__", Fault.METADATA, "{" + A.replace("\"a\"", "\"__metadata__\"") + "}", 8),
                row(17, "long name", Fault.LIMIT, "{" + A.replace("\"a\"", "\"" + "é".repeat(513) + "\"") + "}", 8),
                row(17, "rank 17", Fault.LIMIT, "{" + A.replace("[2]", "[2" + ",1".repeat(16) + "]") + "}", 8),
                row(20, "control character", Fault.NAME, "{" + A.replace("\"a\"", "\"a\\u0007\"") + "}", 8),
                row(20, "escape sequence", Fault.NAME, "{" + A.replace("\"a\"", "\"\\u001b[2J\"") + "}", 8),
                row(20, "direction mark", Fault.NAME, "{" + A.replace("\"a\"", "\"a\u202e\"") + "}", 8),
                row(20, "lone surrogate", Fault.HEADER_JSON, "{" + A.replace("\"a\"", "\"\\ud800\"") + "}", 8));
    }

    private static Arguments row(int row, String what, Fault fault, String header, int dataBytes) {
        return arguments(row, what, fault, header, dataBytes);
    }

    @ParameterizedTest(name = "row {0}: {1}")
    @MethodSource
    void rejectList(int row, String what, Fault fault, String header, int dataBytes) throws IOException {
        Path file = Safetensors.file(folder, header, dataBytes);
        CheckpointException e = assertThrows(CheckpointException.class, () -> SafetensorsFile.open(file));
        assertOneLine(e, file);
        assertEquals(fault, e.fault(), e.getMessage());
    }

    @Test
    void row1TooShort() throws IOException {
        for (int size = 0; size < 8; size++) {
            Path file = Files.write(folder.resolve("s"), new byte[size]);
            assertEquals(Fault.HEADER_TOO_SMALL, assertThrows(CheckpointException.class, () -> SafetensorsFile.open(file)).fault());
        }
    }

    @Test
    void row4LfsPointer() throws IOException {
        Path file = Files.writeString(folder.resolve("model.safetensors"),
                "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4976698672\n");
        CheckpointException e = assertThrows(CheckpointException.class, () -> SafetensorsFile.open(file));
        assertEquals(Fault.LFS_POINTER, e.fault());
        assertTrue(e.getMessage().contains("git lfs pull"), e.getMessage());
    }

    @Test
    void row5NotStrictUtf8() throws IOException {
        for (String bad : List.of("c080", "eda080", "f4908080", "ff")) {
            byte[] header = ("{" + A.replace("\"a\"", "\"????\"") + "}").getBytes(StandardCharsets.US_ASCII);
            byte[] hex = java.util.HexFormat.of().parseHex(bad);
            System.arraycopy(hex, 0, header, 2, hex.length);
            Path file = Files.write(folder.resolve("u"), Safetensors.bytes(header, 8));
            assertEquals(Fault.HEADER, assertThrows(CheckpointException.class, () -> SafetensorsFile.open(file)).fault(), bad);
        }
    }

    @Test
    void row17LimitsAreConfigurable() throws IOException {
        Path file = Safetensors.file(folder, "{" + A + "}", 8);
        for (SafetensorsLimits limits : List.of(
                new SafetensorsLimits(10, 10, 10, 10), new SafetensorsLimits(1000, 0, 10, 10), new SafetensorsLimits(1000, 10, 10, 0))) {
            CheckpointException e = assertThrows(CheckpointException.class, () -> SafetensorsFile.open(file, limits, FileAccess.MAP));
            assertEquals(Fault.LIMIT, e.fault());
            assertOneLine(e, file);
        }
        SafetensorsFile.open(file, new SafetensorsLimits(1000, 1, 1, 1), FileAccess.MAP).close();
    }

    @Test
    void row19CutShortAfterMapping() throws IOException {
        int data = 1 << 20;
        Path file = Safetensors.file(folder, "{\"a\":{\"dtype\":\"U8\",\"shape\":[" + data + "],\"data_offsets\":[0," + data + "]}}", data);
        try (SafetensorsFile mapped = SafetensorsFile.open(file);
                SafetensorsFile copied = SafetensorsFile.open(file, SafetensorsLimits.DEFAULT, FileAccess.COPY)) {
            mapped.verifyUnchanged();
            try (RandomAccessFile cut = new RandomAccessFile(file.toFile(), "rw")) {
                cut.setLength(4096);
            }
            assertEquals(Fault.CHANGED, assertThrows(CheckpointException.class, mapped::verifyUnchanged).fault());
            CheckpointException e = assertThrows(CheckpointException.class,
                    () -> MappedFile.guard(file, () -> mapped.tensor("a").getByte(data - 1)));
            assertEquals(Fault.CHANGED, e.fault());
            assertInstanceOf(InternalError.class, e.getCause());
            assertEquals(0, copied.tensor("a").getByte(data - 1));
        }
    }

    @ParameterizedTest
    @EnumSource
    void closedFile(FileAccess access) throws IOException {
        SafetensorsFile file = SafetensorsFile.open(Golden.path("malformed/ok_control.safetensors"), SafetensorsLimits.DEFAULT, access);
        Tensor a = file.tensor("a");
        file.close();
        file.close();
        assertThrows(IllegalStateException.class, () -> a.data().get(java.lang.foreign.ValueLayout.JAVA_BYTE, 0));
    }

    @Test
    void everyTypeAndOddPlacesAreRead() throws IOException {
        StringBuilder header = new StringBuilder("{");
        int at = 0;
        for (DType dtype : DType.values()) {
            int bytes = (int) dtype.byteSize(4);
            header.append("\"").append(dtype).append("\":{\"data_offsets\":[").append(at).append(",").append(at + bytes)
                    .append("],\"shape\":[2,2],\"dtype\":\"").append(dtype).append("\"},");
            at += bytes;
        }
        // padded to an odd start: the data are unaligned
        String text = header.toString().replaceAll(",$", "}") + " ".repeat(1 + header.length() % 2);
        try (SafetensorsFile file = SafetensorsFile.open(Safetensors.file(folder, text, at))) {
            assertEquals(DType.values().length, file.tensors().size());
            file.tensors().forEach((name, t) -> assertEquals(name, t.dtype().name()));
            assertEquals(0f, file.tensor("F32").getFloat(3));
            assertTrue(assertThrows(CheckpointException.class, () -> file.tensor("F33")).getMessage().contains("\"F32\""));
        }
    }

    @Test
    void aSparseFileBeyondTwoToThe32IsReadAtItsEnd() throws IOException {
        long data = 5L << 30;
        Path file = Safetensors.file(folder, "{\"a\":{\"dtype\":\"U8\",\"shape\":[" + data + "],\"data_offsets\":[0," + data + "]}}", 0);
        long head = Files.size(file);
        try (RandomAccessFile f = new RandomAccessFile(file.toFile(), "rw")) {
            f.setLength(head + data);
            f.seek(head + data - 1);
            f.write(77);
        }
        try (SafetensorsFile f = SafetensorsFile.open(file)) {
            assertEquals(77, f.tensor("a").getByte(data - 1));
        }
    }

    @Test
    void whatIsNoFile() {
        assertThrows(NoSuchFileException.class, () -> SafetensorsFile.open(folder.resolve("none")));
        assertThrows(CheckpointException.class, () -> SafetensorsFile.open(folder));
    }

    static void assertOneLine(CheckpointException e, Path file) {
        String m = e.getMessage();
        assertTrue(m.startsWith(file + ": "), m);
        assertTrue(m.contains("; "), m);
        assertTrue(m.codePoints().noneMatch(c -> c < 0x20 || c == 0x7f || Character.getType(c) == Character.FORMAT), m);
    }
}
