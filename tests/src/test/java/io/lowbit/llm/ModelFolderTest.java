package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.Backend;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("Folders and calls that the decoder refuses")
class ModelFolderTest {
    private static final String SOURCE = "mistral-window";

    @TempDir
    private Path folder;

    private String config() throws IOException {
        Files.copy(Models.TINY.resolve(SOURCE).resolve("model.safetensors"), folder.resolve("model.safetensors"));
        return Files.readString(Models.TINY.resolve(SOURCE).resolve("config.json"));
    }

    private String refusal(String config) throws IOException {
        Files.writeString(folder.resolve("config.json"), config);
        try (Backend backend = Models.backend()) {
            String message = assertThrows(ModelException.class, () -> Models.load(folder, backend, null)).getMessage();
            assertEquals(1, message.lines().count(), message);
            assertTrue(message.startsWith(folder.toString()) && message.contains("; "), message);
            return message;
        }
    }

    @ParameterizedTest(name = "{0} -> {1}")
    @CsvSource(delimiter = '|', value = {
        "\"MistralForCausalLM\" | \"GPT2LMHeadModel\" | architecture GPT2LMHeadModel is not supported; Lowbit runs LlamaForCausalLM",
        "\"rope_type\": \"default\" | \"rope_type\": \"yarn\" | rope type yarn is not supported; Lowbit runs default, linear, llama3",
        "\"rope_type\": \"default\" | \"rope_type\": \"llama3\" | \"factor\" is missing",
        "\"hidden_act\": \"silu\" | \"hidden_act\": \"gelu\" | hidden_act gelu is not supported",
        "\"num_key_value_heads\": 2 | \"num_key_value_heads\": 3 | is not a multiple of num_key_value_heads 3",
        "\"hidden_size\": 32 | \"hidden_size\": \"big\" | \"hidden_size\": expected an integer",
        "\"hidden_size\": 32 | \"hidden_size\": 0 | \"hidden_size\" is 0, expected 1 to 2147483647",
        "\"intermediate_size\": 48 | \"intermediate_size\": 50 | config.json asks for floats [50, 32]",
        "\"num_hidden_layers\": 3 | \"num_hidden_layers\": 4 | no tensor model.layers.3.",
        "\"vocab_size\": 64 | \"vocab_size\": 65 | model.embed_tokens.weight is BF16 [64, 32], config.json asks for floats [65, 32]",
        "\"use_cache\": true | \"quantization_config\": {\"quant_method\": \"gptq\"} | stored quantized by gptq",
        "{ | [{ | ;"})
    void isToldInOneLine(String text, String replacement, String expected) throws IOException {
        String config = config();
        assertTrue(config.contains(text), config);
        String message = refusal(config.replaceFirst(java.util.regex.Pattern.quote(text), java.util.regex.Matcher.quoteReplacement(replacement)));
        assertTrue(message.contains(expected), message);
    }

    @Test
    void aFolderWithoutConfigurationIsNamed() {
        try (Backend backend = Models.backend()) {
            String message = assertThrows(ModelException.class, () -> Models.load(folder, backend, null)).getMessage();
            assertEquals(folder + ": no config.json; give a model folder in Hugging Face layout", message);
        }
    }

    @Test
    void aLayerThatASchemeCannotHoldIsNamedAndNothingStaysLoaded() throws IOException {
        // NaN in a weight: the name and the index must be told
        byte[] bytes = Files.readAllBytes(Models.TINY.resolve(SOURCE).resolve("model.safetensors"));
        int header = 8 + (int) java.nio.ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.LITTLE_ENDIAN).getLong(0);
        String json = new String(bytes, 8, header - 8, java.nio.charset.StandardCharsets.UTF_8);
        java.util.regex.Matcher at = java.util.regex.Pattern
                .compile("\"model\\.layers\\.1\\.mlp\\.up_proj\\.weight\":\\{[^}]*\"data_offsets\":\\[(\\d+),").matcher(json);
        assertTrue(at.find(), json);
        int weight = header + Integer.parseInt(at.group(1)) + 2 * (5 * 32 + 7);
        bytes[weight] = (byte) 0xc0;
        bytes[weight + 1] = 0x7f;
        Files.write(folder.resolve("model.safetensors"), bytes);
        Files.copy(Models.TINY.resolve(SOURCE).resolve("config.json"), folder.resolve("config.json"));
        try (Backend backend = Models.backend()) {
            String message = assertThrows(ModelException.class, () -> Models.load(folder, backend, new Scheme.Int4(Grouping.group(32), true)))
                    .getMessage();
            assertTrue(message.contains("model.layers.1.mlp.up_proj") && message.contains("[5, 7]"), message);
            assertEquals(1, message.lines().count(), message);
        }
    }

    @Test
    void wrongCallsSayWhatWasExpected() throws IOException {
        try (Backend backend = Models.backend(); LlamaModel model = Models.load(Models.TINY.resolve(SOURCE), backend, null)) {
            assertThrows(IllegalArgumentException.class, () -> model.newSession(0));
            Session session = model.newSession(4);
            assertThrows(IllegalArgumentException.class, session::lastLogits);
            String tooMany = assertThrows(IllegalArgumentException.class, () -> session.append(1, 2, 3, 4, 5)).getMessage();
            assertTrue(tooMany.contains("expected 1 to 4 more"), tooMany);
            String unknown = assertThrows(IllegalArgumentException.class, () -> session.append(1, 64)).getMessage();
            assertTrue(unknown.contains("token 64 at 1: expected 0 to 63"), unknown);
            assertEquals(0, session.length(), "nothing was fed");
            session.append(1, 2, 3);
            assertThrows(IllegalArgumentException.class, () -> session.logits(2, 2));
            assertThrows(IllegalArgumentException.class,
                    () -> Generator.generate(model, session, new int[] {1}, Sampler.greedy(), 2, true, _ -> { }));
            assertThrows(IllegalArgumentException.class,
                    () -> Generator.generate(model, session, new int[0], Sampler.greedy(), 1, true, _ -> { }));
            session.close();
            session.close();
            assertThrows(IllegalStateException.class, () -> session.append(1));
        }
        Backend backend = Models.backend();
        LlamaModel model = Models.load(Models.TINY.resolve(SOURCE), backend, null);
        Session session = model.newSession(4);
        model.close();
        model.close();
        backend.close();
        assertThrows(IllegalStateException.class, () -> session.append(1));
        session.close();
    }

    @Test
    void endOfTextEndsTheText() throws IOException {
        try (Backend backend = Models.backend(); LlamaModel model = Models.load(Models.DEMO, backend, null)) {
            // a document's end is what the test stream holds before each token 0
            int[] stream = Models.stream();
            int end = 1;
            while (stream[end] != 0) {
                end++;
            }
            int[] prompt = java.util.Arrays.copyOf(stream, Math.min(end + 1, 400));
            try (Session session = model.newSession(600)) {
                Generator.Result free = Generator.generate(model, session, prompt, Sampler.of(1.2, 0, 1, 5), 150, false, _ -> { });
                assertEquals(150, free.tokens().length);
                session.reset();
                Generator.Result stopped = Generator.generate(model, session, prompt, Sampler.of(1.2, 0, 1, 5), 150, true, _ -> { });
                int first = java.util.stream.IntStream.range(0, 150).filter(i -> free.tokens()[i] == 0).findFirst().orElse(-1);
                assertEquals(first >= 0, stopped.ended());
                assertEquals(first >= 0 ? first + 1 : 150, stopped.tokens().length);
            }
        }
    }
}
