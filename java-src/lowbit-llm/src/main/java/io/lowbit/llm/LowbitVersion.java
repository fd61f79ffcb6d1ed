package io.lowbit.llm;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;

/** The version that Maven wrote beside the classes. */
public final class LowbitVersion {
    private LowbitVersion() {}

    /** For example 0.1.0. */
    public static String number() {
        Properties properties = new Properties();
        try (InputStream in = LowbitVersion.class.getResourceAsStream("version.properties")) {
            properties.load(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return properties.getProperty("version");
    }
}
