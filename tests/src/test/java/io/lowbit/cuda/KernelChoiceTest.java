package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.cuda.kernels.WeightLayout;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The table that picks kernels and the catalogue it names; needs no GPU. */
class KernelChoiceTest {
    @Test
    void tableInTheJarNamesKernelsThatExist() {
        KernelChoice.byTable();
    }

    @Test
    void wrongTablesNameTheirLine() {
        refused("kernel table, line 2: expected 7 columns, got 6", "# head\n* * * 1 * gemv\n");
        refused("kernel table, line 1: no CUDA kernel nonesuch: expected one of gemv, linear", "* * * * * * nonesuch");
        refused("kernel table, line 1: For input string: \"x\"", "* * * 1-x * * gemv");
    }

    private static void refused(String start, String table) {
        String message = assertThrows(IllegalArgumentException.class, () -> KernelChoice.byTable(table)).getMessage();
        assertTrue(message.startsWith(start), message);
    }

    @Test
    void namesAreUnique() {
        Set<String> names = new HashSet<>();
        for (ProductKernel kernel : Catalogue.kernels()) {
            assertTrue(names.add(kernel.name()), kernel.name());
            assertEquals(kernel, Catalogue.kernel(kernel.name()));
        }
        for (WeightLayout layout : Catalogue.layouts()) {
            assertTrue(names.add(layout.name()), layout.name());
        }
        assertThrows(IllegalArgumentException.class, () -> KernelChoice.always("nonesuch"));
    }

    /** What the device tests force: no kernel of the catalogue is forgotten, none shares its rows with another. */
    @Test
    void everyKernelIsForcedInSomeLayout() {
        for (Architecture architecture : Architecture.values()) {
            Set<ProductKernel> forced = new HashSet<>();
            for (LayoutChoice layout : LayoutChoice.all(architecture)) {
                Set<Integer> rows = new HashSet<>();
                for (ProductKernel kernel : layout.kernels()) {
                    for (int m : layout.rows(kernel)) {
                        assertTrue(rows.add(m), layout + " " + kernel.name() + " M=" + m);
                    }
                }
                forced.addAll(layout.kernels());
                layout.choice();
            }
            assertEquals(new HashSet<>(Catalogue.kernels(architecture)), forced);
        }
    }

    /** A matrix of a large model, on 16-bit activations: none is left to the exact kernels, which take a hundred times as long. */
    @ParameterizedTest(name = "{0}x{1}")
    @CsvSource({"4096, 4096", "11008, 4096", "4096, 11008", "8192, 8192", "28672, 8192", "8192, 28672", "5120, 25600", "16384, 53248"})
    void largeMatricesHaveFastKernels(long n, long k) {
        Set<ProductKernel> exact = Set.of(Catalogue.kernel("gemv"), Catalogue.kernel("linear"));
        for (Scheme scheme : List.of(new Scheme.Int4(Grouping.group(128), true), new Scheme.Int4(Grouping.group(32), false),
                new Scheme.Bnb4(Scheme.Codebook.NF4, 64, false), new Scheme.Bnb4(Scheme.Codebook.NF4, 64, true), new Scheme.Mxfp4(), new Scheme.Nvfp4())) {
            List<String> fast = Catalogue.kernels(Architecture.SM90).stream()
                    .filter(kernel -> !exact.contains(kernel) && kernel.supports(MatrixShape.plain(scheme, n, k), DType.BF16, DType.BF16, null))
                    .map(ProductKernel::name).toList();
            assertTrue(fast.contains("w4-decode") && fast.contains("w4-gemm-256x128"), scheme.label() + ": " + fast);
        }
    }

    /** E5M2 activations are for E4M3 weights, with a kernel for every way to sum; both in E5M2, or E5M2 with INT4, no kernel takes. */
    @Test
    void e5m2ActivationsMeetE4m3WeightsAlone() {
        for (ActivationScaling scaling : new ActivationScaling[] {ActivationScaling.TENSOR_E5M2, ActivationScaling.ROW_E5M2}) {
            for (Architecture architecture : Architecture.values()) {
                Set<Accumulation> sums = EnumSet.noneOf(Accumulation.class);
                for (ProductKernel kernel : Catalogue.kernels(architecture)) {
                    for (Scheme scheme : Schemes.ALL) {
                        if (kernel.supports(MatrixShape.plain(scheme, 4096, 4096), DType.BF16, DType.BF16, scaling)) {
                            assertTrue(scheme instanceof Scheme.Fp8 f && f.format() == Scheme.Fp8Format.E4M3, kernel.name() + " " + scheme.label());
                            sums.add(kernel.accumulation());
                        }
                    }
                }
                assertEquals(architecture == Architecture.SM90 ? EnumSet.allOf(Accumulation.class) : EnumSet.of(Accumulation.EXACT), sums, scaling.label());
            }
        }
    }

    /** The canonical layout's sizes are computed, not read from the matrix: both must agree for every scheme. */
    @Test
    void canonicalPartsAreTheMatrixsOwn() {
        try (Arena arena = Arena.ofConfined()) {
            for (Scheme scheme : Schemes.ALL) {
                QuantizedMatrix w = Schemes.quantized(arena, scheme, 17, 259, 3);
                CanonicalLayout.Parts parts = CanonicalLayout.Parts.of(MatrixShape.of(w));
                Tensor[] tensors = CanonicalLayout.tensors(w);
                MemorySegment packed = arena.allocate(CanonicalLayout.INSTANCE.bytes(MatrixShape.of(w)));
                CanonicalLayout.INSTANCE.pack(w, packed);
                for (int i = 0; i < tensors.length; i++) {
                    assertEquals(tensors[i] == null ? 0 : tensors[i].data().byteSize(), parts.size(i), scheme.label() + " part " + i);
                    assertEquals(0, parts.offset(i) % 256, scheme.label());
                    if (tensors[i] != null) {
                        assertEquals(-1, packed.asSlice(parts.offset(i), parts.size(i)).mismatch(tensors[i].data()), scheme.label() + " part " + i);
                    }
                }
            }
        }
    }
}
