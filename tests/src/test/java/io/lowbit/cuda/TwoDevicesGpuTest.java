package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.cuda.driver.Driver;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Two GPUs in one process. */
@Tag("gpu")
class TwoDevicesGpuTest {
    private static void requireTwo() {
        Gpu.require();
        int count = Driver.get().deviceCount();
        if (count < 2) {
            String why = "the test of two devices needs two GPUs, this machine shows " + count;
            if ("two".equals(System.getProperty(Gpu.REQUIRED))) {
                throw new AssertionError(why);
            }
            System.out.println("SKIPPED on this machine: " + why);
            Assumptions.abort(why);
        }
    }

    @Test
    void bothComputeTheSameBytesAtOnce() throws Exception {
        requireTwo();
        try (CudaBackend first = CudaBackend.open(0); CudaBackend second = CudaBackend.open(1); Arena arena = Arena.ofShared()) {
            // The same bits are promised for the same kernels: two GPUs of a kind.
            Assumptions.assumeTrue(first.context().device().name().equals(second.context().device().name()), "two GPUs of a kind");
            for (Scheme scheme : Schemes.ALL) {
                QuantizedMatrix w = Schemes.quantized(arena, scheme, 192, 512, 3);
                try (CudaLinear one = first.load(w); CudaLinear two = second.load(w); ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
                    for (int m : new int[] {1, 16, 70}) {
                        Tensor x = Schemes.normal(arena, DType.BF16, m, 1, m, 512);
                        Tensor expected = Tensor.allocate(arena, DType.F32, m, 192);
                        one.forward(x, expected);
                        List<Future<Long>> runs = new ArrayList<>();
                        for (int i = 0; i < 32; i++) {
                            CudaLinear layer = i % 2 == 0 ? one : two;
                            runs.add(threads.submit(() -> {
                                Tensor y = Tensor.allocate(Arena.ofAuto(), DType.F32, m, 192);
                                layer.forward(x, y);
                                return y.data().mismatch(expected.data());
                            }));
                        }
                        for (Future<Long> run : runs) {
                            assertEquals(-1, run.get(), scheme.label() + " M=" + m);
                        }
                    }
                    if (one.kernel(4, DType.BF16, DType.F32, ActivationScaling.ROW, Accumulation.PRECISE) != null) {
                        Tensor x = Schemes.normal(arena, DType.BF16, 9, 1, 4, 512);
                        Tensor y = Tensor.allocate(arena, DType.F32, 4, 192);
                        Tensor again = Tensor.allocate(arena, DType.F32, 4, 192);
                        one.forwardQuantized(x, y, ActivationScaling.ROW, Accumulation.PRECISE);
                        two.forwardQuantized(x, again, ActivationScaling.ROW, Accumulation.PRECISE);
                        assertEquals(-1, y.data().mismatch(again.data()), scheme.label());
                    }
                }
            }
        }
    }

    @Test
    void whatBelongsToOneIsRefusedByTheOther() {
        requireTwo();
        try (CudaBackend first = CudaBackend.open(0); CudaBackend second = CudaBackend.open(1); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Mxfp4(), 8, 32, 1);
            try (CudaLinear layer = first.load(w); Stream stream = Stream.open(second.context())) {
                DeviceTensor x = new DeviceTensor(DType.F32, Shape.of(1, 32), 0x1000);
                DeviceTensor y = new DeviceTensor(DType.F32, Shape.of(1, 8), 0x2000);
                String message = assertThrows(IllegalArgumentException.class, () -> layer.forward(stream, x, y)).getMessage();
                assertTrue(message.contains("another context"), message);
            }
            Tensor floats = Schemes.normal(arena, DType.F32, 1, 1, 8, 32);
            QuantizedMatrix here = second.quantize(floats, new Scheme.Mxfp4(), QuantizeOptions.DEFAULT, arena);
            assertEquals(-1, first.quantize(floats, new Scheme.Mxfp4(), QuantizeOptions.DEFAULT, arena).codes().data().mismatch(here.codes().data()));
        }
        int count = Driver.get().deviceCount();
        String message = assertThrows(BackendUnavailableException.class, () -> CudaBackend.open(count)).getMessage();
        assertEquals("GPU " + count + " is not there: the NVIDIA driver shows " + count + ", numbered from 0; choose one of them", message);
    }

    /** One closes, the other goes on. */
    @Test
    void devicesAreIndependent() {
        requireTwo();
        try (CudaBackend second = CudaBackend.open(1); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Nvfp4(), 64, 128, 1);
            Tensor x = Schemes.normal(arena, DType.F32, 1, 1, 3, 128);
            Tensor y = Tensor.allocate(arena, DType.F32, 3, 64);
            try (CudaLinear layer = second.load(w)) {
                long before = second.context().freeBytes();
                try (CudaBackend first = CudaBackend.open(0)) {
                    first.load(w).forward(x, y);
                }
                layer.forward(x, y);
                Products.check("after the other device was closed", Products.weights(w), Products.rows(x), null, y);
                assertTrue(second.context().freeBytes() <= before);
            }
        }
    }
}
