package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.OddMatrices;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.WeightLayout;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every layout: the device packs the bytes that the CPU's definition packs, and decodes the definition's weights from them. */
@Tag("gpu")
class LayoutGpuTest {
    private static final long[][] SHAPES = {{1, 1}, {17, 259}, {64, 128}, {65, 256}, {192, 512}, {128, 384}, {100, 1056}};

    /** Once for each layout, not for each of the kernels that read it: they are given the same bytes. */
    @ParameterizedTest(name = "{0}, seed 31")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void deviceAndProcessorPackTheSameBytes(Architecture architecture) {
        Gpu.require();
        for (LayoutChoice choice : LayoutChoice.all(architecture)) {
            try (CudaBackend backend = Gpu.open(architecture, choice.choice())) {
                int compared = Schemes.ALL.parallelStream().mapToInt(scheme -> {
                    int count = 0;
                    for (long[] shape : SHAPES) {
                        try (Arena arena = Arena.ofShared()) {
                            QuantizedMatrix w = Schemes.quantized(arena, scheme, shape[0], shape[1], 31);
                            Schemes.scramble(w, 31);
                            count += compare(backend, choice, w, arena);
                            if (scheme instanceof Scheme.Int4 s && s.grouping() instanceof Grouping.PerGroup) {
                                count += compare(backend, choice, OddMatrices.actOrder(arena, s, shape[0], (int) shape[1], true), arena);
                            }
                        }
                    }
                    return count;
                }).sum();
                System.out.println(architecture + " " + choice + ": " + compared + " matrices packed alike");
                assertTrue(compared > 0, choice + ": no matrix of the table fits it: add one");
            }
        }
    }

    /** How many were compared: none where the matrix lies in another layout. */
    private static int compare(CudaBackend backend, LayoutChoice choice, QuantizedMatrix w, Arena arena) {
        try (CudaLinear layer = backend.load(w)) {
            if (layer.layout() != choice.layout()) {
                return 0;
            }
            compare(layer, w, arena);
            return 1;
        }
    }

    private static void compare(CudaLinear layer, QuantizedMatrix w, Arena arena) {
        WeightLayout layout = layer.layout();
        String what = w + " in " + layout.name();
        MatrixShape shape = MatrixShape.of(w);
        MemorySegment expected = arena.allocate(layout.bytes(shape));
        MemorySegment got = arena.allocate(layout.bytes(shape));
        layout.pack(w, expected);
        layer.download(got);
        if (layout == CanonicalLayout.INSTANCE) {
            // Part by part: the gaps between them hold anything.
            CanonicalLayout.Parts parts = CanonicalLayout.Parts.of(shape);
            for (int i = 0; i < 6; i++) {
                assertEquals(-1, expected.asSlice(parts.offset(i), parts.size(i)).mismatch(got.asSlice(parts.offset(i), parts.size(i))),
                        what + " part " + i);
            }
        } else {
            assertEquals(-1, expected.mismatch(got), what);
        }
        Tensor out = Tensor.allocate(arena, DType.F32, w.n(), w.k());
        layer.dequantize(out);
        for (long row = 0; row < w.n(); row++) {
            for (long col = 0; col < w.k(); col++) {
                // NaN has many bit patterns: compared as one value.
                assertEquals(Float.floatToIntBits(w.value(row, col)), Float.floatToIntBits(out.getFloat(row * w.k() + col)),
                        () -> what + " decodes wrongly");
            }
        }
    }
}
