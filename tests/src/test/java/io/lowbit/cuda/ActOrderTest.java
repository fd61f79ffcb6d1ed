package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.OddMatrices;
import io.lowbit.backend.RandomMatrix;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.WeightLayout;
import io.lowbit.quant.ActOrder;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Records of matrices with act-order, as the processor packs them; the device packs the same bytes ({@link LayoutGpuTest}). */
class ActOrderTest {
    private static final WeightLayout RECORDS = Catalogue.layouts().stream().filter(l -> l.name().equals("records")).findFirst().orElseThrow();
    private static final int SPAN = 128;

    /** The sorted matrix, and behind it the column that each column was. */
    @Test
    void recordsHoldTheSortedMatrixAndItsOrder() {
        for (DType type : List.of(DType.F16, DType.F32)) {
            for (boolean symmetric : new boolean[] {true, false}) {
                for (int size : new int[] {32, 64, 128, 256, 512}) {
                    for (int k : new int[] {131, 320, 512}) {
                        check(new Scheme.Int4(Grouping.group(size), symmetric, type), 70, k);
                    }
                }
            }
        }
    }

    private static void check(Scheme.Int4 scheme, long n, int k) {
        try (Arena arena = Arena.ofConfined()) {
            QuantizedMatrix w = OddMatrices.actOrder(arena, scheme, n, k, true);
            MatrixShape shape = MatrixShape.of(w);
            String what = w + " in groups of " + scheme.label();
            assertEquals(MatrixShape.Columns.SORTABLE, shape.columns(), what);
            assertTrue(RECORDS.fits(shape), what);
            MemorySegment packed = arena.allocate(RECORDS.bytes(shape));
            RECORDS.pack(w, packed);
            ActOrder sorted = ActOrder.of(w, arena);
            MatrixShape plain = MatrixShape.of(sorted.matrix());
            MemorySegment expected = arena.allocate(RECORDS.bytes(plain));
            RECORDS.pack(sorted.matrix(), expected);
            assertEquals(-1, expected.mismatch(packed.asSlice(0, expected.byteSize())), what);
            long at = RECORDS.order(shape, 0);
            assertEquals(0, at % 256, what);
            assertTrue(at >= expected.byteSize(), what);
            int whole = Math.ceilDiv(k, SPAN) * SPAN;
            assertEquals(at + 4L * whole, packed.byteSize(), what);
            boolean[] seen = new boolean[k];
            for (int i = 0; i < whole; i++) {
                int column = packed.get(ValueLayout.JAVA_INT, at + 4L * i);
                if (i >= k) {
                    assertEquals(0, column, what);
                    continue;
                }
                assertFalse(seen[column], what + ": column " + column + " twice");
                seen[column] = true;
                assertEquals(i / ((Grouping.PerGroup) scheme.grouping()).size(), w.groups().getInt(column), what + ": group of column " + column);
            }
        }
    }

    /** Groups of other sizes than the scheme's cannot be groups of neighbours; those matrices stay as they came. */
    @Test
    void whatCannotBeSortedStaysAsItIs() {
        try (Arena arena = Arena.ofConfined()) {
            Scheme.Int4 scheme = new Scheme.Int4(Grouping.group(64), true);
            QuantizedMatrix scattered = OddMatrices.actOrder(arena, scheme, 17, 256, false);
            assertEquals(MatrixShape.Columns.SCATTERED, MatrixShape.of(scattered).columns());
            assertFalse(RECORDS.fits(MatrixShape.of(scattered)));
            QuantizedMatrix plain = RandomMatrix.of(arena, scheme, 17, 256, 1);
            assertEquals(MatrixShape.Columns.NEIGHBOURS, MatrixShape.of(plain).columns());
            assertEquals(0, RECORDS.order(MatrixShape.of(plain), 4096));
            // Groups of 48 columns do not divide a record.
            Scheme.Int4 odd = new Scheme.Int4(Grouping.group(48), true);
            assertFalse(RECORDS.fits(MatrixShape.of(OddMatrices.actOrder(arena, odd, 17, 256, true))));
        }
    }
}
