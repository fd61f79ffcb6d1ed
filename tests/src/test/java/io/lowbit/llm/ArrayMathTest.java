package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class ArrayMathTest {
    @Test
    void exponentialIsWithinOneUlpOverItsRange() {
        int n = 1 << 20;
        float[] x = new float[n];
        for (int i = 0; i < n; i++) {
            x[i] = -87f + 175f * i / n;
        }
        float[] y = new float[n];
        ArrayMath.expShifted(x, 0f, y, 0, n);
        double worst = 0;
        for (int i = 0; i < n; i++) {
            double exact = Math.exp(x[i]);
            worst = Math.max(worst, Math.abs(y[i] - exact) / Math.ulp((float) exact));
        }
        System.out.printf("exp: largest error %.4f ulp%n", worst);
        assertTrue(worst <= 1, "largest error " + worst + " ulp");
        float[] far = {-1000f, Float.NEGATIVE_INFINITY, 5f, 5f};
        ArrayMath.expShifted(far, 5f, far, 0, 3);
        assertTrue(far[0] < 1e-37 && far[1] < 1e-37);
        assertEquals(1f, far[2]);
        assertEquals(5f, far[3], "beyond the end");
    }

    @Test
    @DisplayName("SwiGLU of 4096 values, seed 3, and of large ones")
    void swiGlu() {
        Random random = new Random(3);
        float[] gate = new float[4100];
        float[] up = new float[4100];
        for (int i = 0; i < gate.length; i++) {
            gate[i] = (float) random.nextGaussian() * 5;
            up[i] = (float) random.nextGaussian();
        }
        gate[1] = 0f;
        gate[2] = 200f;
        gate[3] = -200f;
        float[] out = new float[4100];
        ArrayMath.swiGlu(gate, up, out, 4096);
        for (int i = 0; i < 4096; i++) {
            double exact = gate[i] / (1 + Math.exp(-gate[i])) * up[i];
            assertEquals(exact, out[i], 2.5e-7 * Math.abs(exact) + 1e-34, "gate " + gate[i] + ", up " + up[i]);
        }
        assertEquals(0f, out[4096], "beyond the end");
    }

    @Test
    @DisplayName("max and sums of every length up to 20, seed 4")
    void reductions() {
        Random random = new Random(4);
        float[] x = new float[40];
        for (int i = 0; i < x.length; i++) {
            x[i] = random.nextInt(-1000, 1000);
        }
        for (int from = 0; from < 3; from++) {
            for (int n = 0; n < 20; n++) {
                float max = Float.NEGATIVE_INFINITY;
                double sum = 0;
                double squares = 0;
                for (int i = from; i < from + n; i++) {
                    max = Math.max(max, x[i]);
                    sum += x[i];
                    squares += x[i] * x[i];
                }
                assertEquals(max, ArrayMath.max(x, from, from + n));
                assertEquals(sum, ArrayMath.sum(x, from, from + n));
                assertEquals(squares, ArrayMath.sumOfSquares(x, from, n));
            }
        }
    }
}
