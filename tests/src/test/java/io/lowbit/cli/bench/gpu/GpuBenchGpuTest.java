package io.lowbit.cli.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cli.bench.GemmShape;
import io.lowbit.cli.bench.cublaslt.CublasLtLibrary;
import io.lowbit.cli.bench.cublaslt.CublasLtMissingException;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.DeviceMatrix;
import io.lowbit.cuda.DeviceTensor;
import io.lowbit.cuda.Gpu;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.events.LaunchEvent;
import io.lowbit.events.LoadEvent;
import io.lowbit.events.RepackEvent;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jdk.jfr.Event;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The harness on a real card: a small run, and what its check must refuse. */
@Tag("gpu")
class GpuBenchGpuTest {
    /** Large enough that five L2 caches hold no hundreds of copies, whose set-up takes longer than the replays. */
    private static final GemmShape SHAPE = new GemmShape(4096, 2048);
    private static final TimingRule SHORT = new TimingRule(5, 1e5, 0, 1e5, false, 0.2e9);

    @Test
    void aSmallRunTimesEveryContender() {
        GpuPlan plan = new GpuPlan(List.of(new Scheme.Int4(Grouping.group(128), true), new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL)),
                List.of(SHAPE), List.of(1, 16), DType.BF16, true, GpuPlan.Inputs.BOTH, true, 0, SHORT, 3);
        try (CudaBackend backend = Gpu.open()) {
            CublasLtLibrary library = null;
            String why = "";
            try {
                library = CublasLtLibrary.find(null);
            } catch (CublasLtMissingException e) {
                why = e.getMessage();
            }
            try (GpuBench bench = new GpuBench(backend, library, why, QuantizeOptions.DEFAULT)) {
                List<String> heard = new ArrayList<>();
                GpuReport report = bench.run(plan, new GpuBench.Listener() {
                    @Override
                    public void began(GpuReport sofar) {
                        heard.add("ceilings " + (sofar.limits().readBytes() > 0) + ", cases " + sofar.results().size());
                    }

                    @Override
                    public void finished(GemmShape shape, GpuReport sofar) {
                        heard.add(shape + " " + sofar.results().size() + " " + sofar.complete());
                    }
                });
                assertEquals(List.of("ceilings true, cases 0", SHAPE + " " + report.results().size() + " false"), heard);
                assertTrue(report.complete());
                assertTrue(report.phases().get("replay") > 0, report.phases().toString());
                assertTrue(report.right(), GpuText.notes(report).toString());
                for (GpuResult r : report.results()) {
                    assertTrue(r.timed() || r.peer(), r.toString());
                    assertEquals(r.timed() && report.before() != null, r.after() != null, r.toString());
                    assertEquals(r.timed() && r.peer(), r.brief() != null, r.toString());
                }
                if (library != null) {
                    assertEquals(plan.size(), report.results().size());
                    assertNotNull(GpuSheet.of(report).yardstick(), GpuText.notes(report).toString());
                    assertTrue(bench.profile(plan, GpuBench.peerName(Operands.BF16), 2).startsWith("algo"));
                } else {
                    assertTrue(why.contains("libcublasLt.so.13"), why);
                }
                assertTrue(report.dispatch().stream().anyMatch(c -> c.nanos() != null));
            }
        }
    }

    /** Activations quantized by the call that is timed: BF16 in, BF16 out, and right. */
    @Test
    void productsThatQuantizeTheirActivationsAreTimedToo() {
        GpuPlan plan = new GpuPlan(List.of(new Scheme.Int4(Grouping.group(128), true), new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR),
                new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.block(128, 128))), List.of(SHAPE), List.of(1, 70), DType.BF16, false, GpuPlan.Inputs.WITHIN,
                false, 0, SHORT, 3);
        try (CudaBackend backend = Gpu.open(); GpuBench bench = new GpuBench(backend, null, "", QuantizeOptions.DEFAULT)) {
            GpuReport report = bench.run(plan, new GpuBench.Listener() {});
            assertTrue(report.right(), GpuText.notes(report).toString());
            List<GpuResult> within = report.results().stream().filter(r -> r.name().endsWith("+quantize")).toList();
            assertEquals(plan.size() - 2, within.size(), "all but INT4 on BF16");
            assertTrue(within.stream().allMatch(r -> r.timed() || r.reason().startsWith("no kernel")), GpuText.notes(report).toString());
            assertTrue(String.join("\n", GpuText.method(report)).contains("by the call that is timed for Lowbit (+quantize)"));
        }
    }

    /** Each kernel is timed where it takes the rows, and is what runs; the one that is chosen stands first. */
    @Test
    void kernelsAreTimedEachByItself() {
        try (CudaBackend backend = Gpu.open(); GpuBench bench = new GpuBench(backend, null, "", QuantizeOptions.DEFAULT)) {
            List<ProductKernel> kernels = Forced.matching(backend.kernels().architecture(), List.of("linear", "gemv", "w8a8"));
            GpuPlan plan = new GpuPlan(List.of(new Scheme.Int4(Grouping.group(128), true), new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR)),
                    List.of(SHAPE), List.of(1, 70), DType.BF16, false, GpuPlan.Inputs.QUANTIZED, false, 0, SHORT, 3, kernels);
            GpuReport report = bench.run(plan, new GpuBench.Listener() {});
            assertTrue(report.right(), GpuText.notes(report).toString());
            for (ProductKernel kernel : kernels) {
                List<GpuResult> by = report.results().stream().filter(r -> r.name().endsWith(" by " + kernel.name())).toList();
                assertTrue(by.stream().allMatch(r -> r.timed() && r.kernel().equals(kernel.name()) && r.m() <= kernel.mostRows()), by::toString);
                assertFalse(by.isEmpty(), kernel.name());
            }
            assertEquals(plan.size(), report.results().size());
            assertFalse(KernelRanking.lines(report).isEmpty());
        }
    }

    /** Nsight and Flight Recorder see the kernels by readable names. */
    @Test
    void aRecordingHasLoadRepackAndLaunches(@TempDir Path folder) throws Exception {
        GpuPlan plan = new GpuPlan(List.of(new Scheme.Int4(Grouping.group(128), true)), List.of(SHAPE), List.of(16), DType.BF16, false,
                GpuPlan.Inputs.NATIVE, false, 0, SHORT, 3);
        Path file = folder.resolve("events.jfr");
        String kernel;
        try (Recording recording = new Recording(); CudaBackend backend = Gpu.open();
                GpuBench bench = new GpuBench(backend, null, "", QuantizeOptions.DEFAULT)) {
            for (Class<? extends Event> event : List.of(LoadEvent.class, RepackEvent.class, LaunchEvent.class)) {
                recording.enable(event).withoutThreshold();
            }
            recording.start();
            kernel = bench.profile(plan, "int4 sym g128", 3);
            recording.stop();
            recording.dump(file);
            List<RecordedEvent> events = RecordingFile.readAllEvents(file);
            assertTrue(events.stream().anyMatch(e -> e.getEventType().getName().equals("io.lowbit.Load") && e.getString("backend").equals("cuda")), events::toString);
            List<String> launched = events.stream().filter(e -> e.getEventType().getName().equals("io.lowbit.Launch")).map(e -> e.getString("kernel")).toList();
            assertTrue(launched.stream().allMatch(name -> name.startsWith(Architecture.of(backend.context().device()).prefix() + "_")), launched::toString);
            assertTrue(launched.stream().filter(name -> name.contains("_int4")).count() >= 3, kernel + " in " + launched);
            if (kernel.startsWith("w4")) {
                assertTrue(events.stream().anyMatch(e -> e.getEventType().getName().equals("io.lowbit.Repack")), events::toString);
            }
        }
    }

    /** Replays that must be short launch on the copies in turn: each copy is written all the same, and counted. */
    @Test
    void everyCopyHasItsTurnInShortReplays() {
        int copies = 7;
        TimingRule rule = new TimingRule(10, 1e5, 0, 1e5, false, 1e9, 1);
        try (CudaBackend backend = Gpu.open(); GraphTimer timer = new GraphTimer(backend.context()); DeviceMemory memory = backend.context().allocate(4 * copies);
                Arena arena = Arena.ofConfined()) {
            timer.stream().fill(memory.address(), (byte) 0, 4 * copies);
            Timing timing = timer.time(rule, 1e3, copies, copy -> timer.stream().fill(memory.address() + 4L * copy, (byte) (copy + 1), 4),
                    new PhaseClock(System::nanoTime));
            assertEquals(2, timing.launches());
            assertEquals(copies, timing.copies());
            MemorySegment host = arena.allocate(4 * copies, 8);
            timer.stream().download(host, memory.address(), 4 * copies);
            timer.stream().synchronize();
            for (int copy = 0; copy < copies; copy++) {
                assertEquals((copy + 1) * 0x01010101, host.getAtIndex(ValueLayout.JAVA_INT, copy));
            }
        }
    }

    /** One wrong or unwritten element among those looked at is found; so is any NaN. */
    @Test
    void theCheckRefusesWrongAndUnwrittenOutputs() {
        try (CudaBackend backend = Gpu.open()) {
            Context context = backend.context();
            long n = 96;
            long k = 256;
            try (BenchKernels kernels = new BenchKernels(context); GraphTimer timer = new GraphTimer(context);
                    DeviceMemory memory = context.allocate(4 * n * k); DeviceMemory decoded = context.allocate(4 * n * k);
                    Activations a = new Activations(context, kernels)) {
                DeviceTensor weights = DeviceTensor.of(memory, DType.F32, n, k);
                kernels.normal(timer.stream(), weights, 5, 0.02f);
                timer.stream().synchronize();
                try (DeviceMatrix matrix = backend.quantize(weights, new Scheme.Mxfp4(), QuantizeOptions.DEFAULT);
                        LowbitContender layer = new LowbitContender(backend, matrix, null, null)) {
                    DeviceTensor values = DeviceTensor.of(decoded, DType.F32, n, k);
                    matrix.dequantize(values);
                    try (DeviceCheck check = new DeviceCheck(context, kernels, timer.stream(), values, 7)) {
                        a.prepare(timer.stream(), DType.BF16, 5, n, k, 1, 7, null, false);
                        layer.prepare(timer, a);
                        assertTrue(check.check(a, 0, layer.tolerance()).fault().contains("was not written"));
                        layer.launch(timer.stream(), a, 0);
                        assertNull(check.check(a, 0, layer.tolerance()).fault());
                        timer.stream().fill(a.y(0).address() + 2 * (3 * n + 11), (byte) 0x3f, 2);
                        assertTrue(check.check(a, 0, layer.tolerance()).fault().startsWith("y[3, 11] = "));
                    }
                }
            }
        }
    }
}
