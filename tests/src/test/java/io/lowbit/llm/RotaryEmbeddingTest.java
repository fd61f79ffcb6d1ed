package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class RotaryEmbeddingTest {
    /** From transformers 5.18.0's {@code ROPE_INIT_FUNCTIONS["llama3"]} with Llama 3.1 8B's settings (see golden/llm/make_references.py). */
    private static final float[] LLAMA_3_1_8B = {
        1f, 0.814617217f, 0.663601279f, 0.540580988f, 0.440366626f, 0.358730227f, 0.292227834f, 0.238053814f, 0.193922758f, 0.157972813f,
        0.128687382f, 0.10483095f, 0.0853971019f, 0.0695659518f, 0.0566696189f, 0.0461640507f, 0.0376060307f, 0.0306345206f, 0.0249554086f,
        0.0203291047f, 0.0165604409f, 0.0134904198f, 0.0109895291f, 0.00895225909f, 0.00729266508f, 0.00594073068f, 0.00483942125f,
        0.00394227589f, 0.00321144611f, 0.00216657063f, 0.00137189368f, 0.00085675146f, 0.000524846022f, 0.00031269365f, 0.000178507791f,
        9.55621217e-05f, 7.78465546e-05f, 6.34151438e-05f, 5.16590699e-05f, 4.20823671e-05f, 3.42810235e-05f, 2.79259093e-05f,
        2.2748929e-05f, 1.85316694e-05f, 1.50962178e-05f, 1.22976389e-05f, 1.00178686e-05f, 8.1607277e-06f, 6.64786967e-06f,
        5.41546933e-06f, 4.41153452e-06f, 3.59371188e-06f, 2.92749974e-06f, 2.38479174e-06f, 1.94269251e-06f, 1.58255079e-06f,
        1.28917316e-06f, 1.05018262e-06f, 8.55496921e-07f, 6.96902532e-07f, 5.6770881e-07f, 4.6246538e-07f, 3.7673226e-07f, 3.06892588e-07f
    };
    /** The same of Llama 3.2 1B. */
    private static final float[] LLAMA_3_2_1B = {
        1f, 0.663601279f, 0.440366626f, 0.292227834f, 0.193922758f, 0.128687382f, 0.0853971019f, 0.0566696189f, 0.0376060307f,
        0.0249554086f, 0.0165604409f, 0.0109895291f, 0.00729266508f, 0.00483942125f, 0.00321144611f, 0.00129054801f, 0.000429556705f,
        9.70828623e-05f, 1.94616387e-05f, 1.29147675e-05f, 8.57025589e-06f, 5.68723226e-06f, 3.77405445e-06f, 2.50446715e-06f,
        1.66196742e-06f, 1.10288363e-06f, 7.31874934e-07f, 4.85673127e-07f, 3.22293289e-07f, 2.1387423e-07f, 1.41927202e-07f,
        9.41830649e-08f
    };

    @Test
    void llama3ScalingGivesTransformersFrequencies() {
        compare(LLAMA_3_1_8B, new RotaryEmbedding(128, 500000, new RopeScaling.Llama3(8, 1, 4, 8192)));
        compare(LLAMA_3_2_1B, new RotaryEmbedding(64, 500000, new RopeScaling.Llama3(32, 1, 4, 8192)));
    }

    private static void compare(float[] expected, RotaryEmbedding rotary) {
        float[] got = rotary.frequencies();
        assertEquals(expected.length, got.length);
        for (int i = 0; i < got.length; i++) {
            // transformers computes in f32, here f64 is rounded once
            assertEquals(expected[i], got[i], 2e-6 * expected[i], "frequency " + i);
        }
    }

    @Test
    void rotationTurnsPairsHalfAHeadApart() {
        RotaryEmbedding rotary = new RotaryEmbedding(4, 100, new RopeScaling.None());
        rotary.prepare(2);
        rotary.prepare(6);
        float[] x = {9, 1, 2, 3, 4, 9};
        rotary.rotate(x, 1, 5);
        // frequencies 1 and 100^(-1/2) = 0.1; element 0 pairs with 2, 1 with 3
        double[] expected = {9, Math.cos(5) - 3 * Math.sin(5), 2 * Math.cos(0.5) - 4 * Math.sin(0.5), 3 * Math.cos(5) + Math.sin(5),
            4 * Math.cos(0.5) + 2 * Math.sin(0.5), 9};
        for (int i = 0; i < 6; i++) {
            assertEquals(expected[i], x[i], 2e-6, "element " + i);
        }
    }
}
