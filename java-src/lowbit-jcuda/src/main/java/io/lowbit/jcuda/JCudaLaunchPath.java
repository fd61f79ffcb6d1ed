package io.lowbit.jcuda;

import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.cuda.driver.LaunchPath;
import io.lowbit.cuda.driver.Stream;

/** Launches through JCuda, for the benchmark of dispatch costs. */
public final class JCudaLaunchPath implements LaunchPath {
    @Override
    public String name() {
        return "JCuda";
    }

    @Override
    public Launch prepare(Stream stream, byte[] ptx, String kernel, int blocks, int threads, Number... arguments) {
        try {
            return new JCudaLaunch(stream, ptx, kernel, blocks, threads, arguments);
        } catch (NoClassDefFoundError e) {
            throw new BackendUnavailableException("JCuda is not on the class path; add org.jcuda:jcuda and its jcuda-natives", e);
        }
    }
}
