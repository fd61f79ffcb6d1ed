package io.lowbit.cuda.driver;

import io.lowbit.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Turns a {@code CUresult} into an exception. */
final class Errors {
    private Errors() {}

    static CudaException of(int number, String call, String detail) {
        String name = text(number, true);
        String text = text(number, false) + (detail == null || detail.isEmpty() ? "" : ": " + detail);
        if (number == Cuda.CUDA_ERROR_OUT_OF_MEMORY()) {
            return new DeviceOutOfMemoryException(call, name, number, text, cure(number));
        }
        return new CudaException(call, name, number, text, cure(number), null);
    }

    /** What later calls throw once {@code first} has broken the context. */
    static CudaException poisoned(CudaException first) {
        return new CudaException(first.call(), first.name(), first.number(), "an earlier call broke the device's context",
                "restart the process", first);
    }

    /** True for errors after which CUDA refuses every later call in the context. */
    static boolean sticky(int number) {
        return number == Cuda.CUDA_ERROR_ILLEGAL_ADDRESS()
                || number == Cuda.CUDA_ERROR_LAUNCH_TIMEOUT()
                || number == Cuda.CUDA_ERROR_ASSERT()
                || number == Cuda.CUDA_ERROR_HARDWARE_STACK_ERROR()
                || number == Cuda.CUDA_ERROR_ILLEGAL_INSTRUCTION()
                || number == Cuda.CUDA_ERROR_MISALIGNED_ADDRESS()
                || number == Cuda.CUDA_ERROR_INVALID_ADDRESS_SPACE()
                || number == Cuda.CUDA_ERROR_INVALID_PC()
                || number == Cuda.CUDA_ERROR_LAUNCH_FAILED()
                || number == Cuda.CUDA_ERROR_ECC_UNCORRECTABLE()
                || number == Cuda.CUDA_ERROR_CONTAINED()
                || number == Cuda.CUDA_ERROR_DEINITIALIZED();
    }

    static String text(int number, boolean name) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
            int result = name ? Cuda.cuGetErrorName(number, out) : Cuda.cuGetErrorString(number, out);
            MemorySegment text = out.get(ValueLayout.ADDRESS, 0);
            if (result != Cuda.CUDA_SUCCESS() || text.address() == 0) {
                return name ? "CUDA_ERROR_?" : "an error this driver has no text for";
            }
            return text.reinterpret(Long.MAX_VALUE).getString(0);
        }
    }

    private static String cure(int number) {
        if (number == Cuda.CUDA_ERROR_OUT_OF_MEMORY()) {
            return "close layers, or load a smaller model or a scheme of fewer bits";
        }
        if (number == Cuda.CUDA_ERROR_NO_DEVICE() || number == Cuda.CUDA_ERROR_INVALID_DEVICE()) {
            return "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --backend cpu";
        }
        if (number == Cuda.CUDA_ERROR_STUB_LIBRARY()) {
            return "libcuda.so.1 is the toolkit's stub: put the driver's own library first in the search path";
        }
        if (number == Cuda.CUDA_ERROR_UNSUPPORTED_PTX_VERSION()) {
            return "update the NVIDIA driver to 550 (CUDA 12.4) or newer";
        }
        if (number == Cuda.CUDA_ERROR_NO_BINARY_FOR_GPU() || number == Cuda.CUDA_ERROR_INVALID_PTX()) {
            return "this GPU cannot run the kernel: unset lowbit.cuda.arch, or use --backend cpu";
        }
        if (number == Cuda.CUDA_ERROR_SYSTEM_DRIVER_MISMATCH() || number == Cuda.CUDA_ERROR_SYSTEM_NOT_READY()) {
            return "the driver's library and kernel module do not fit: reinstall the driver or restart the machine";
        }
        if (number == Cuda.CUDA_ERROR_DEVICE_UNAVAILABLE()) {
            return "another process holds the GPU exclusively: wait for it, or use --backend cpu";
        }
        if (sticky(number)) {
            return "a kernel failed; run under compute-sanitizer to find where, and restart the process";
        }
        return "this is a defect of Lowbit or of its caller: please report the call and the driver's version";
    }
}
