package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.ChildJvm;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The tokenizer library reports to its makers and downloads parts of itself, unless it is told not to: it is. */
class TokenizerNetworkTest {
    @TempDir
    private Path cache;

    private String probe(String... more) throws IOException, InterruptedException {
        String[] properties = new String[more.length + 2];
        properties[0] = "-Dlowbit.root=" + Models.ROOT;
        // empty: the native part is unpacked anew, which is where downloads would be
        properties[1] = "-DDJL_CACHE_DIR=" + cache;
        System.arraycopy(more, 0, properties, 2, more.length);
        return ChildJvm.run(NetworkProbe.class, properties);
    }

    @Test
    void nothingIsAskedOfTheNetwork() throws Exception {
        String out = probe();
        assertTrue(out.startsWith("tokens "), out);
        assertEquals(1, out.lines().count(), out);
    }

    @Test
    void theProbeSeesTheReportWhereItIsNotSwitchedOff() throws Exception {
        String out = probe("-DOPT_OUT_TRACKING=false");
        assertTrue(out.contains("tried http://169.254.169.254/"), out);
    }
}
