package io.lowbit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@Tag("sources")
class ReadmeExampleTest {
    @Test
    @DisplayName("the README's library example compiles as it stands and prints what it says")
    void compilesAndRuns(@TempDir Path folder) throws Exception {
        String readme = Files.readString(Path.of(System.getProperty("lowbit.root"), "README.md"));
        int start = readme.indexOf("```java\n") + "```java\n".length();
        assertTrue(start > 8, "README.md has a java block");
        Path source = folder.resolve("Example.java");
        Files.writeString(source, readme.substring(start, readme.indexOf("```", start)));
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        ByteArrayOutputStream messages = new ByteArrayOutputStream();
        int status = compiler.run(null, messages, messages,
                "-cp", System.getProperty("java.class.path"), "-d", folder.toString(), source.toString());
        assertEquals(0, status, messages.toString(StandardCharsets.UTF_8));

        PrintStream out = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        try (URLClassLoader loader = new URLClassLoader(new URL[] {folder.toUri().toURL()})) {
            System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
            loader.loadClass("Example").getMethod("main", String[].class).invoke(null, (Object) new String[0]);
        } finally {
            System.setOut(out);
        }
        String line = printed.toString(StandardCharsets.UTF_8);
        assertTrue(line.startsWith("nf4 b64 dq [512, 256]: 4.1"), line);
        // w[0][0] = sin(0) is the first weight and x picks it out: NF4 has an exact zero
        assertTrue(line.strip().endsWith("y[0] = 0.0") || line.strip().endsWith("y[0] = -0.0"), line);
    }
}
