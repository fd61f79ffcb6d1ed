package io.lowbit.cuda.driver;

/** The device (or pinned host memory) has no room for an allocation; nothing was changed and smaller ones may work. */
public final class DeviceOutOfMemoryException extends CudaException {
    DeviceOutOfMemoryException(String call, String name, int number, String text, String cure) {
        super(call, name, number, text, cure, null);
    }
}
