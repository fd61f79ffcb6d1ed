package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Transposing words of eight fields, tile by tile, against the definition, on shapes that fill no tile. */
class PackedWordsTest {
    private static final long SEED = 9;

    @ParameterizedTest(name = "{0} rows, {1} words, seed 9")
    @CsvSource({"1, 1", "7, 33", "8, 32", "9, 5", "255, 31", "256, 64", "264, 70", "517, 65"})
    void nibblesMoveToWhereTheyBelongAndBack(int rows, int cols) {
        try (Arena arena = Arena.ofConfined()) {
            SplittableRandom random = new SplittableRandom(SEED);
            Tensor words = Tensor.allocate(arena, DType.I32, rows, cols);
            for (long i = 0; i < words.elements(); i++) {
                words.data().set(ValueLayout.JAVA_INT_UNALIGNED, 4 * i, random.nextInt());
            }
            for (int[] field : new int[][] {PackedWords.IN_ORDER, PackedWords.AWQ_FIELD}) {
                Tensor nibbles = PackedWords.transposeNibbles(words, field, arena);
                for (int r = 0; r < rows; r++) {
                    for (int c = 0; c < 8 * cols; c++) {
                        int want = words.getInt((long) r * cols + c / 8) >>> 4 * field[c % 8] & 15;
                        assertEquals(want, nibbles.getByte((long) c * nibbles.dim(1) + r / 2) >>> 4 * (r % 2) & 15, "row " + r + ", column " + c);
                    }
                }
                assertEquals(-1, words.data().mismatch(PackedWords.packNibbles(nibbles, rows, field, arena).data()));
            }
            Tensor turned = new Tensor(DType.I32, Shape.of(cols, rows), PackedWords.transpose32(words.data(), rows, cols, arena));
            for (int r = 0; r < rows; r++) {
                for (int c = 0; c < cols; c++) {
                    assertEquals(words.getInt((long) r * cols + c), turned.getInt((long) c * rows + r));
                }
            }
        }
    }
}
