package io.lowbit.cuda.driver;

/**
 * Another library's way to launch a kernel from Java, offered through {@link java.util.ServiceLoader} by a module that
 * works with that library: {@code lowbit bench gemm} times it beside Lowbit's own.
 */
public interface LaunchPath {
    /** The library, for tables. */
    String name();

    /**
     * Makes one launch ready.
     *
     * @param stream where it goes; its context is bound to the thread while the launch is prepared, run and closed
     * @param ptx the module that has the kernel
     * @param arguments {@link Long} for 64 bits, {@link Integer} for 32
     * @throws io.lowbit.backend.BackendUnavailableException when the library cannot be used here
     */
    Launch prepare(Stream stream, byte[] ptx, String kernel, int blocks, int threads, Number... arguments);

    /** A launch made ready. */
    interface Launch extends AutoCloseable {
        /** Adds it to the stream, handing over its arguments anew. */
        void run();

        @Override
        void close();
    }
}
