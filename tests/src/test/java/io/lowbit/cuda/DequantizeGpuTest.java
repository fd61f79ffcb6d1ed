package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.Golden;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The card's weights are the definition's, bit for bit, for every scheme: quantized matrices and random bytes. */
@Tag("gpu")
class DequantizeGpuTest {
    @ParameterizedTest(name = "{0}, seed 7")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void everySchemeGivesTheDefinitionsBits(Architecture architecture) {
        long[][] shapes = {{1, 1}, {3, 5}, {17, 259}, {64, 128}, {33, 1030}};
        long compared = 0;
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.always("linear")); Arena arena = Arena.ofShared()) {
            for (Scheme scheme : Schemes.ALL) {
                for (long[] shape : shapes) {
                    for (boolean scrambled : new boolean[] {false, true}) {
                        QuantizedMatrix w = Schemes.quantized(arena, scheme, shape[0], shape[1], 7);
                        if (scrambled) {
                            Schemes.scramble(w, 7);
                        }
                        Tensor out = Tensor.allocate(arena, DType.F32, shape);
                        out.data().fill((byte) 0x55);
                        try (CudaLinear layer = backend.load(w)) {
                            layer.dequantize(out);
                        }
                        for (long row = 0; row < shape[0]; row++) {
                            for (long col = 0; col < shape[1]; col++, compared++) {
                                // NaN has many bit patterns and a JVM may give any: NaN is compared as one value.
                                int expected = Float.floatToIntBits(w.value(row, col));
                                int got = Float.floatToIntBits(out.getFloat(row * shape[1] + col));
                                if (expected != got) {
                                    fail(w + (scrambled ? " of random bytes" : "") + " [" + row + ", " + col + "]: expected "
                                            + Integer.toHexString(expected) + ", got " + Integer.toHexString(got));
                                }
                            }
                        }
                    }
                }
            }
        }
        long elements = 0;
        for (long[] shape : shapes) {
            elements += shape[0] * shape[1];
        }
        assertEquals(2 * elements * Schemes.ALL.size(), compared);
        System.out.println(architecture + ": " + compared + " weights of " + Schemes.ALL.size() + " schemes equal the definition");
    }

    /** NVFP4 as compressed-tensors stores it, divided by its matrix scale, against the reference's own floats. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void aDividedNvfp4MatrixGivesTheReferencesBits(Architecture architecture) throws IOException {
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.always("linear"));
                Checkpoint file = Checkpoint.open(Golden.path("nvfp4/compressed_tensors.safetensors"));
                SafetensorsFile expected = SafetensorsFile.open(Golden.path("nvfp4/compressed_tensors_expected.safetensors"));
                Arena arena = Arena.ofShared()) {
            Layouts layouts = Layouts.of(file);
            assertEquals(2, layouts.layers().size());
            for (String name : layouts.layers()) {
                QuantizedMatrix w = layouts.read(name, arena);
                Tensor out = Tensor.allocate(arena, DType.F32, w.n(), w.k());
                try (CudaLinear layer = backend.load(w)) {
                    layer.dequantize(out);
                }
                assertEquals(-1, expected.tensor(name + ".weight_f32").data().mismatch(out.data()), name);
            }
        }
    }

    /** Every layer of every golden checkpoint: the CPU's bits, which the tests of layouts hold to the references'. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void everyGoldenLayerGivesTheProcessorsBits(Architecture architecture) throws IOException {
        Gpu.require();
        List<Path> files;
        try (Stream<Path> walk = Files.walk(Golden.path(""))) {
            files = walk.filter(f -> f.toString().endsWith(".safetensors") && !f.toString().contains("malformed")).sorted().toList();
        }
        int layers = 0;
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.always("linear"))) {
            for (Path path : files) {
                try (Checkpoint file = Checkpoint.open(path); Arena arena = Arena.ofShared()) {
                    Layouts layouts = Layouts.of(file);
                    for (String name : layouts.layers()) {
                        QuantizedMatrix w = layouts.read(name, arena);
                        for (DType type : new DType[] {DType.F32, DType.BF16}) {
                            Tensor out = Tensor.allocate(arena, type, w.n(), w.k());
                            try (CudaLinear layer = backend.load(w)) {
                                layer.dequantize(out);
                            }
                            assertEquals(-1, Dequantizer.dequantize(w, type, arena).data().mismatch(out.data()), path + " " + name + " " + type);
                        }
                        layers++;
                    }
                }
            }
        }
        System.out.println(architecture + ": " + layers + " layers of " + files.size() + " golden files equal the CPU's");
        assertTrue(layers > 20, layers + " layers found");
    }
}
