package io.lowbit.cli;

import io.lowbit.llm.LowbitVersion;
import picocli.CommandLine.IVersionProvider;

/** What {@code --version} prints. */
final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
        return new String[] {"lowbit " + LowbitVersion.number(), "JDK " + Runtime.version() + " (" + System.getProperty("java.vendor") + ")"};
    }
}
