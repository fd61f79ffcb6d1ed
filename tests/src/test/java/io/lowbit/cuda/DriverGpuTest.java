package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.CudaException;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.DeviceOutOfMemoryException;
import io.lowbit.cuda.driver.Event;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Module;
import io.lowbit.cuda.driver.PinnedMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Ownership, memory, threads, graphs and errors on a real card. */
@Tag("gpu")
class DriverGpuTest {
    private static final Scheme SCHEME = new Scheme.Int4(Grouping.group(64), false);

    @Test
    void memoryIsWhereItWasAfter1000Cycles() {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, SCHEME, 512, 512, 1);
            Tensor x = Schemes.normal(arena, DType.BF16, 2, 1, 16, 512);
            Tensor y = Tensor.allocate(arena, DType.F32, 16, 512);
            cycle(backend, w, x, y);
            long before = backend.context().freeBytes();
            for (int i = 0; i < 1000; i++) {
                cycle(backend, w, x, y);
            }
            assertEquals(before, backend.context().freeBytes());
        }
    }

    private static void cycle(CudaBackend backend, QuantizedMatrix w, Tensor x, Tensor y) {
        try (CudaLinear layer = backend.load(w)) {
            layer.forward(x, y);
        }
    }

    /** Whole backends too: contexts, streams, pinned memory and modules. */
    @Test
    void backendsGiveEverythingBack() {
        Gpu.require();
        try (Context outer = Context.open(0); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, SCHEME, 64, 64, 1);
            Tensor x = Schemes.normal(arena, DType.BF16, 2, 1, 16, 64);
            Tensor y = Tensor.allocate(arena, DType.F32, 16, 64);
            long before = 0;
            for (int i = 0; i < 20; i++) {
                try (CudaBackend backend = CudaBackend.open(0)) {
                    cycle(backend, w, x, y);
                }
                if (i == 9) {
                    before = outer.freeBytes();
                }
            }
            assertEquals(before, outer.freeBytes());
        }
    }

    @Test
    void virtualThreadsGiveTheSingleThreadsBytes() throws Exception {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, SCHEME, 300, 500, 3);
            List<Tensor> xs = new ArrayList<>();
            List<Tensor> expected = new ArrayList<>();
            try (CudaLinear layer = backend.load(w); ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
                for (int i = 0; i < 16; i++) {
                    Tensor x = Schemes.normal(arena, DType.BF16, 100 + i, 1, 1 + i, 500);
                    Tensor y = Tensor.allocate(arena, DType.F32, 1 + i, 300);
                    layer.forward(x, y);
                    xs.add(x);
                    expected.add(y);
                }
                List<Future<Integer>> runs = new ArrayList<>();
                for (int t = 0; t < 64; t++) {
                    int first = t;
                    runs.add(threads.submit(() -> {
                        int equal = 0;
                        for (int i = 0; i < 200; i++) {
                            int which = (first + i) % 16;
                            Tensor y = Tensor.allocate(Arena.ofAuto(), DType.F32, 1 + which, 300);
                            layer.forward(xs.get(which), y);
                            equal += y.data().mismatch(expected.get(which).data()) == -1 ? 1 : 0;
                        }
                        return equal;
                    }));
                }
                int equal = 0;
                for (Future<Integer> run : runs) {
                    equal += run.get();
                }
                assertEquals(64 * 200, equal);
            }
        }
    }

    @Test
    void graphReplaysForward() {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, SCHEME, 200, 256, 4);
            QuantizedMatrix w8 = Schemes.quantized(arena, new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL), 200, 256, 4);
            try (CudaLinear layer = backend.load(w); CudaLinear layer8 = backend.load(w8); Stream stream = Stream.open(backend.context());
                    DeviceMemory dx = DeviceMemory.allocate(stream, 12 * 256 * 2); DeviceMemory dy = DeviceMemory.allocate(stream, 12 * 200 * 4);
                    DeviceMemory dy8 = DeviceMemory.allocate(stream, 12 * 200 * 4);
                    DeviceMemory workspace = DeviceMemory.allocate(stream, layer8.workspaceBytes(12))) {
                DeviceTensor x = DeviceTensor.of(dx, DType.BF16, 12, 256);
                DeviceTensor y = DeviceTensor.of(dy, DType.F32, 12, 200);
                DeviceTensor y8 = DeviceTensor.of(dy8, DType.F32, 12, 200);
                // Loads the kernels: that is not to be captured.
                layer8.forwardQuantized(stream, x, y8, ActivationScaling.TENSOR, Accumulation.FAST, workspace);
                stream.synchronize();
                try (Graph graph = Graph.capture(stream, () -> {
                    layer.forward(stream, x, y);
                    layer8.forwardQuantized(stream, x, y8, ActivationScaling.TENSOR, Accumulation.FAST, workspace);
                })) {
                    for (int seed = 0; seed < 3; seed++) {
                        Tensor hx = Schemes.normal(arena, DType.BF16, seed, 1, 12, 256);
                        Tensor expected = Tensor.allocate(arena, DType.F32, 12, 200);
                        Tensor expected8 = Tensor.allocate(arena, DType.F32, 12, 200);
                        layer.forward(hx, expected);
                        layer8.forwardQuantized(hx, expected8, ActivationScaling.TENSOR, Accumulation.FAST);
                        MemorySegment got = arena.allocate(dy.bytes());
                        MemorySegment got8 = arena.allocate(dy.bytes());
                        stream.upload(dx.address(), hx.data(), dx.bytes());
                        graph.launch(stream);
                        stream.download(got, dy.address(), dy.bytes());
                        stream.download(got8, dy8.address(), dy8.bytes());
                        stream.synchronize();
                        assertEquals(-1, got.mismatch(expected.data()));
                        assertEquals(-1, got8.mismatch(expected8.data()));
                    }
                }
                RuntimeException planted = new IllegalArgumentException("planted");
                assertEquals(planted, assertThrows(IllegalArgumentException.class, () -> Graph.capture(stream, () -> {
                    throw planted;
                })));
                stream.synchronize();
            }
        }
    }

    /** A layer that does not fit: typed, nothing lost, and the others go on working. */
    @Test
    void outOfMemoryWhileLoadingLeavesTheRest() {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, SCHEME, 64, 64, 1);
            QuantizedMatrix large = QuantizedMatrix.dense(Tensor.allocate(arena, DType.F32, 16_384, 8192));
            Tensor x = Schemes.normal(arena, DType.BF16, 2, 1, 16, 64);
            Tensor y = Tensor.allocate(arena, DType.F32, 16, 64);
            Tensor again = Tensor.allocate(arena, DType.F32, 16, 64);
            try (CudaLinear layer = backend.load(w)) {
                layer.forward(x, y);
                try (DeviceMemory hog = backend.context().allocate(backend.context().freeBytes() - (256L << 20))) {
                    long before = backend.context().freeBytes();
                    assertTrue(before < 512L << 20, before + " bytes are still free beside " + hog.bytes());
                    assertThrows(DeviceOutOfMemoryException.class, () -> backend.load(large));
                    assertThrows(DeviceOutOfMemoryException.class, () -> backend.quantize(large.codes(), SCHEME, QuantizeOptions.DEFAULT, arena));
                    assertEquals(before, backend.context().freeBytes());
                    layer.forward(x, again);
                    assertEquals(-1, y.data().mismatch(again.data()));
                }
                backend.load(large).close();
                layer.forward(x, again);
                assertEquals(-1, y.data().mismatch(again.data()));
            }
        }
    }

    @Test
    void outOfMemoryIsTypedAndChangesNothing() {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            long before = backend.context().freeBytes();
            DeviceOutOfMemoryException e = assertThrows(DeviceOutOfMemoryException.class, () -> backend.context().allocate(1L << 50));
            assertEquals("CUDA_ERROR_OUT_OF_MEMORY", e.name());
            assertEquals(2, e.number());
            assertEquals("cuMemAllocAsync", e.call());
            assertTrue(e.getMessage().contains("1125899906842624 bytes"), e.getMessage());
            assertEquals(before, backend.context().freeBytes());
            QuantizedMatrix w = Schemes.quantized(arena, SCHEME, 64, 64, 1);
            Tensor x = Schemes.normal(arena, DType.BF16, 2, 1, 16, 64);
            Tensor y = Tensor.allocate(arena, DType.F32, 16, 64);
            cycle(backend, w, x, y);
            Products.check("after running out of memory", Products.weights(w), Products.rows(x), null, y);
        }
    }

    @Test
    void refusedPtxNamesTheComplaint() {
        Gpu.require();
        try (Context context = Context.open(0)) {
            CudaException e = assertThrows(CudaException.class, () -> Module.load(context, "bad.ptx", ".version 7.8\nnonsense".getBytes()));
            assertTrue(e.getMessage().contains("bad.ptx") && e.name().startsWith("CUDA_ERROR_"), e.getMessage());
            assertEquals(null, context.broken());
        }
    }

    @Test
    void ownersCloseOnceAndRefuseAfterwards() {
        Gpu.require();
        Context context = Context.open(0);
        Stream stream = Stream.open(context);
        Event event = Event.open(context);
        DeviceMemory memory = DeviceMemory.allocate(stream, 100);
        PinnedMemory pinned = PinnedMemory.allocate(context, 100);
        event.record(stream);
        event.synchronize();
        assertTrue(event.done());
        // Closed first: it lives on until the last thing made from it is closed.
        context.close();
        context.close();
        stream.synchronize();
        for (AutoCloseable owner : List.of(event, memory, pinned, stream)) {
            for (int i = 0; i < 2; i++) {
                try {
                    owner.close();
                } catch (Exception e) {
                    throw new AssertionError(e);
                }
            }
        }
        assertThrows(IllegalStateException.class, stream::synchronize);
        assertThrows(IllegalStateException.class, memory::address);
        assertThrows(IllegalStateException.class, event::done);
        assertThrows(IllegalStateException.class, () -> Stream.open(context));
        assertThrows(IllegalStateException.class, () -> pinned.segment().get(ValueLayout.JAVA_BYTE, 0));
    }

    @Test
    void forwardAllocatesNothing() {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, SCHEME, 64, 64, 1);
            Tensor x = Schemes.normal(arena, DType.BF16, 2, 1, 4, 64);
            Tensor y = Tensor.allocate(arena, DType.F32, 4, 64);
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            try (CudaLinear layer = backend.load(w)) {
                for (int i = 0; i < 30_000; i++) {
                    layer.forward(x, y);
                }
                long before = threads.getCurrentThreadAllocatedBytes();
                for (int i = 0; i < 2000; i++) {
                    layer.forward(x, y);
                }
                long bytes = threads.getCurrentThreadAllocatedBytes() - before;
                System.out.println("2000 forwards allocated " + bytes + " bytes of Java heap");
                assertTrue(bytes < 2000, "2000 forwards allocated " + bytes + " bytes");
            }
        }
    }
}
