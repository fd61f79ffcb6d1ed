package io.lowbit.cuda.driver;

/** A CUDA driver call failed: one line with the call, the error's name and number, and the cure. */
public class CudaException extends RuntimeException {
    private final String call;
    private final String name;
    private final int number;
    private final String cure;

    CudaException(String call, String name, int number, String text, String cure, Throwable cause) {
        super(call + ": " + name + " (" + number + "), " + text + "; " + cure, cause);
        this.call = call;
        this.name = name;
        this.number = number;
        this.cure = cure;
    }

    /** The driver function, for example {@code cuMemAllocAsync}. */
    public String call() {
        return call;
    }

    /** For example {@code CUDA_ERROR_OUT_OF_MEMORY}. */
    public String name() {
        return name;
    }

    /** The {@code CUresult}. */
    public int number() {
        return number;
    }

    /** What to do about it. */
    public String cure() {
        return cure;
    }
}
