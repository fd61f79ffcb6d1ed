package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.Backend;
import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("The shipped model against transformers")
class DemoModelTest {
    private static Backend backend;
    private static LlamaModel model;
    private static SafetensorsFile expected;

    @BeforeAll
    static void load() throws IOException {
        backend = Models.backend();
        model = Models.load(Models.DEMO, backend, null);
        expected = SafetensorsFile.open(Models.GOLDEN.resolve("expected.safetensors"));
    }

    @AfterAll
    static void close() {
        expected.close();
        model.close();
        backend.close();
    }

    @Test
    void logitsAreWithinTwoThousandths() {
        int[] tokens = Models.ints(expected, "input_ids");
        try (Session session = model.newSession(tokens.length)) {
            session.append(tokens);
            double worst = Models.largestDifference(Models.logits(session, tokens.length), expected.tensor("logits").toFloats());
            System.out.printf("demo model: largest difference of %d logits %.2e%n", expected.tensor("logits").elements(), worst);
            assertTrue(worst <= 2e-3, "largest difference " + worst);
        }
    }

    @Test
    void hiddenStateAfterTheFirstLayerIsWithinOneTenThousandth() {
        int[] tokens = Models.ints(expected, "input_ids");
        try (Session session = model.newSession(tokens.length)) {
            double worst = Models.largestDifference(session.hiddenAfter(tokens, tokens.length, 1),
                    expected.tensor("hidden_after_layer_1").toFloats());
            System.out.printf("demo model: largest difference after layer 1 %.2e%n", worst);
            assertTrue(worst <= 1e-4, "largest difference " + worst);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"greedy_0", "greedy_1"})
    void greedyContinuationIsEqual(String name) {
        int[] all = Models.ints(expected, name);
        try (Session session = model.newSession(all.length)) {
            List<Integer> streamed = new ArrayList<>();
            Generator.Result result = Generator.generate(model, session, Arrays.copyOf(all, 32), Sampler.greedy(), 64, false, streamed::add);
            System.out.printf("demo model: decode %.0f tokens/s%n", result.decodeTokensPerSecond());
            assertArrayEquals(Arrays.copyOfRange(all, 32, 96), result.tokens());
            assertEquals(Arrays.stream(result.tokens()).boxed().toList(), streamed);
        }
    }

    @ParameterizedTest(name = "in passes of {0}")
    @ValueSource(ints = {1, 3, 64, 300})
    void pieceByPieceGivesTheLogitsOfOnePass(int step) throws IOException {
        int[] tokens = Arrays.copyOf(Models.stream(), 300);
        float[] whole;
        try (Session session = model.newSession(300)) {
            session.append(tokens);
            whole = session.lastLogits().toFloats();
        }
        try (Session session = model.newSession(400)) {
            // what an earlier sequence left in the cache must not show
            session.append(Models.stream(), 7000, 400);
            session.reset();
            for (int at = 0; at < 300; at += step) {
                session.append(tokens, at, Math.min(step, 300 - at));
            }
            assertEquals(300, session.length());
            double worst = Models.largestDifference(whole, session.lastLogits().toFloats());
            assertTrue(worst <= 1e-4, "largest difference " + worst);
        }
    }

    @Test
    void promptsLongerThanAPassAreFedInPieces() throws IOException {
        int[] tokens = Arrays.copyOf(Models.stream(), 700);
        try (Session whole = model.newSession(700); Session pieces = model.newSession(700)) {
            whole.append(tokens);
            pieces.append(tokens, 0, 350);
            pieces.append(tokens, 350, 350);
            double worst = Models.largestDifference(whole.lastLogits().toFloats(), pieces.lastLogits().toFloats());
            assertTrue(worst <= 1e-4, "largest difference " + worst);
        }
    }

    @Test
    void sessionsOfOneModelRunAtOnceWithTheSameBits() throws Exception {
        int[] stream = Models.stream();
        List<float[]> alone = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            alone.add(lastLogits(stream, i * 100));
        }
        try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
            List<Future<float[]>> together = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                int from = i * 100;
                together.add(threads.submit(() -> lastLogits(stream, from)));
            }
            for (int i = 0; i < 4; i++) {
                assertArrayEquals(alone.get(i), together.get(i).get(), "session " + i);
            }
        }
    }

    private static float[] lastLogits(int[] stream, int from) {
        try (Session session = model.newSession(100)) {
            session.append(stream, from, 100);
            return session.lastLogits().toFloats();
        }
    }

    @Test
    void bytesCountEveryWeightOnce() {
        long linear = 8L * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 768 * 256) * 2;
        assertEquals(56, model.linears().size());
        assertEquals(new Scheme.Dense(DType.BF16), model.linears().get("model.layers.7.mlp.down_proj").scheme());
        // the backend may pad, but no more than a little
        assertTrue(model.linearBytes() >= linear && model.linearBytes() < linear * 1.1, "linear bytes " + model.linearBytes());
        long tables = 2L * 4096 * 256 * 2 + 17 * 256 * 4;
        assertTrue(model.bytes() >= linear + tables && model.bytes() < (linear + tables) * 1.1, "bytes " + model.bytes());
    }
}
