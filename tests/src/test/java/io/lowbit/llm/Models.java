package io.lowbit.llm;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.Backends;
import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;

/** The models that the tests run and what they are compared with. */
final class Models {
    static final Path ROOT = Path.of(System.getProperty("lowbit.root"));
    /** The model that ships with the command line. */
    static final Path DEMO = ROOT.resolve("java-src/lowbit-cli/src/main/resources/io/lowbit/cli/demo-model");
    static final Path GOLDEN = ROOT.resolve("tests/golden/model");
    /** Tiny random models of the other families. */
    static final Path TINY = ROOT.resolve("tests/golden/llm");

    private Models() {}

    static Backend backend() {
        return Backends.open("cpu", BackendOptions.DEFAULT).backend();
    }

    static LlamaModel load(Path folder, Backend backend, Scheme scheme) throws IOException {
        return LlamaModel.load(folder, backend, scheme, QuantizeOptions.DEFAULT);
    }

    /** The test stream of the demo model, as the reference tokenizer made it. */
    static int[] stream() throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(GOLDEN.resolve("test.u16"))).order(ByteOrder.LITTLE_ENDIAN);
        int[] tokens = new int[bytes.remaining() / 2];
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = bytes.getShort() & 0xffff;
        }
        return tokens;
    }

    static int[] ints(SafetensorsFile file, String name) {
        Tensor tensor = file.tensor(name);
        int[] values = new int[Math.toIntExact(tensor.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = tensor.getInt(i);
        }
        return values;
    }

    /** Logits of all {@code count} rows of the session's last pass. */
    static float[] logits(Session session, int count) {
        int vocabulary = 0;
        float[] all = {};
        for (int row = 0; row < count; row += Session.MAX_LOGIT_ROWS) {
            Tensor part = session.logits(row, Math.min(Session.MAX_LOGIT_ROWS, count - row));
            vocabulary = Math.toIntExact(part.dim(1));
            float[] values = part.toFloats();
            all = java.util.Arrays.copyOf(all, (row + Math.toIntExact(part.dim(0))) * vocabulary);
            System.arraycopy(values, 0, all, row * vocabulary, values.length);
        }
        return all;
    }

    static double largestDifference(float[] a, float[] b) {
        if (a.length != b.length) {
            throw new AssertionError(a.length + " values against " + b.length);
        }
        double worst = 0;
        for (int i = 0; i < a.length; i++) {
            // NaN must not hide
            double difference = Math.abs((double) a[i] - b[i]);
            worst = difference <= worst ? worst : difference;
        }
        return worst;
    }
}
