package io.lowbit.cli;

import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** {@code --threads N}. Use as {@code @Mixin ThreadsOption threads}. */
public final class ThreadsOption {
    @Option(
            names = "--threads",
            paramLabel = "N",
            converter = Count.class,
            description = "CPU threads that compute; results do not depend on it. Default: one a processor.")
    private Integer threads;

    public int count() {
        return threads == null ? Runtime.getRuntime().availableProcessors() : threads;
    }

    /** 1 to 4096. */
    static final class Count implements ITypeConverter<Integer> {
        @Override
        public Integer convert(String text) {
            try {
                int value = Integer.parseInt(text);
                if (value >= 1 && value <= 4096) {
                    return value;
                }
            } catch (NumberFormatException e) {
                // told below, with the range
            }
            throw new TypeConversionException("'" + text + "' is not a number from 1 to 4096");
        }
    }
}
