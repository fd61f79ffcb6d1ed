package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.GemmShape;
import io.lowbit.cli.bench.ProductCheck;
import io.lowbit.cli.bench.cublaslt.CublasLtException;
import io.lowbit.cli.bench.cublaslt.CublasLtHandle;
import io.lowbit.cli.bench.cublaslt.CublasLtLibrary;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.DeviceMatrix;
import io.lowbit.cuda.DeviceTensor;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.CudaException;
import io.lowbit.cuda.driver.DeviceOutOfMemoryException;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.function.Supplier;

/**
 * The engine on a CUDA device: runs a {@link GpuPlan}.
 *
 * <p>For each shape one random matrix is quantized to each scheme. For each contender and M:
 * <ol>
 * <li>weights, activations and outputs are there so often that all copies together are at least five times the L2;
 * <li>y is poisoned, computed once and checked against an f64 reference; a wrong product is refused, not timed;
 * <li>all outputs are poisoned, then a graph of launches on one copy after the other is replayed: untimed, then timed;
 * <li>every output must have been written, and the last is checked again.
 * </ol>
 */
public final class GpuBench implements AutoCloseable {
    /** Weights, activations and outputs of all launches together are at least so many L2 caches. */
    public static final int CACHES = 5;

    private static final int MOST_COPIES = 512;
    private static final float DEVIATION = 0.02f;

    /** Before a contender's first case: the first replays after allocating and freeing much memory were seen to be slower. */
    private static final double SETTLE_NANOS = 30e6;

    private final CudaBackend backend;
    private final Context context;
    private final QuantizeOptions options;
    private final Buffer weights;
    private final Buffer decoded;
    private final BenchKernels kernels;
    private final GraphTimer timer;
    private final GpuMonitor monitor;
    private final CublasLtHandle peers;
    private final String peerText;
    private final Contenders contenders;
    private PhaseClock clock = new PhaseClock(System::nanoTime);
    private long compiled;
    /** BF16 operations a second; NaN where not known. */
    private double peak = Double.NaN;

    /**
     * @param backend loads and multiplies; stays open
     * @param library null where there is no cuBLASLt
     * @param peerText which it is, or why there is none
     * @param options how the random weights are quantized; no clip search
     */
    public GpuBench(CudaBackend backend, CublasLtLibrary library, String peerText, QuantizeOptions options) {
        this.backend = backend;
        this.context = backend.context();
        this.options = options;
        this.weights = new Buffer(context);
        this.decoded = new Buffer(context);
        this.kernels = new BenchKernels(context);
        this.timer = new GraphTimer(context);
        this.monitor = GpuMonitor.open(context);
        this.peers = library == null ? null : new CublasLtHandle(library, context);
        this.peerText = peerText;
        this.contenders = new Contenders(backend, peers, timer.stream());
    }

    /** Hears how a run goes on. */
    public interface Listener {
        /** The ceilings are known, and nothing else. */
        default void began(GpuReport sofar) {}

        /** One more case. */
        default void done(GpuResult result, Supplier<GpuReport> sofar) {}

        /** Every case of a shape. */
        default void finished(GemmShape shape, GpuReport sofar) {}
    }

    /** Runs every case of the plan, shape after shape. */
    public GpuReport run(GpuPlan plan, Listener listener) {
        clock = new PhaseClock(System::nanoTime);
        clock.enter(PhaseClock.Phase.CEILINGS);
        compiled = backend.kernels().compileNanos();
        Instant when = Instant.now();
        long start = System.nanoTime();
        GpuMonitor.State before = monitor.read();
        DeviceLimits limits = DeviceLimits.measure(backend, kernels, timer, peers);
        compiled();
        peak = limits.bf16Flops();
        List<GpuResult> results = new ArrayList<>();
        Supplier<GpuReport> sofar = () -> new GpuReport(when, (System.nanoTime() - start) * 1e-9, clock.seconds(), false, plan, backend.description(),
                monitor.driver(), context.device().l2Bytes(), peerText, raised(limits, results), before, null, monitor.absence(), List.of(),
                List.copyOf(results));
        report(() -> listener.began(sofar.get()));
        try (Activations activations = new Activations(context, kernels)) {
            for (GemmShape shape : plan.shapes()) {
                runShape(plan, shape, activations, result -> {
                    results.add(result);
                    report(() -> listener.done(result, sofar));
                });
                report(() -> listener.finished(shape, sofar.get()));
            }
        }
        GpuMonitor.State after = monitor.read();
        clock.enter(PhaseClock.Phase.DISPATCH);
        List<DispatchCost.Cost> dispatch = plan.dispatch() ? DispatchCost.measure(backend) : List.of();
        GpuReport last = sofar.get();
        return new GpuReport(when, last.seconds(), last.phases(), true, plan, last.device(), last.driver(), last.l2Bytes(), peerText, last.limits(),
                before, after, last.monitor(), dispatch, results);
    }

    /** Takes what the driver has compiled since the last call out of the phase that it happened in. */
    private void compiled() {
        long all = backend.kernels().compileNanos();
        clock.move(PhaseClock.Phase.COMPILE, all - compiled);
        compiled = all;
    }

    private void report(Runnable text) {
        PhaseClock.Phase before = clock.enter(PhaseClock.Phase.REPORT);
        text.run();
        clock.enter(before);
    }

    /** A peer that was faster than the ceiling is the ceiling. */
    private static DeviceLimits raised(DeviceLimits limits, List<GpuResult> results) {
        for (GpuResult r : results) {
            if (r.timed() && r.peer()) {
                limits = limits.raised(r.math(), r.flops() / r.timing().seconds());
            }
        }
        return limits;
    }

    /** The scheme's label in a contender's name, as it is where the contender is a peer. */
    public static String schemeName(String contender) {
        return EightBits.scheme(contender);
    }

    /** A peer's name in all tables. */
    public static String peerName(Operands operands) {
        return "cublasLt " + operands.label();
    }

    /**
     * Runs the launches of one case and nothing else of the harness but its set-up, for a profiler.
     *
     * @param plan of one shape and one M
     * @param contender its name
     * @param launches how many, on one copy after the other
     * @return the kernel or algorithm that ran
     * @throws IllegalArgumentException when the plan has no such contender
     */
    public String profile(GpuPlan plan, String contender, int launches) {
        String[] kernel = new String[1];
        try (Activations activations = new Activations(context, kernels)) {
            eachContender(plan, plan.shapes().getFirst(), contender::equals, (c, dtype, _) -> {
                prepare(plan, c, dtype, plan.shapes().getFirst(), plan.ms().getFirst(), activations);
                for (int i = 0; i < launches; i++) {
                    c.launch(timer.stream(), activations, i % activations.copies());
                }
                timer.stream().synchronize();
                kernel[0] = c.kernel();
            });
        }
        if (kernel[0] == null) {
            throw new IllegalArgumentException("--profile: " + contender + " does not run here: " + (peers == null ? peerText : "it is no contender"));
        }
        return kernel[0];
    }

    private interface Turn {
        void take(Contender contender, DType dtype, DeviceCheck check);
    }

    private void runShape(GpuPlan plan, GemmShape shape, Activations activations, Consumer<GpuResult> done) {
        eachContender(plan, shape, _ -> true, (contender, dtype, check) -> runContender(plan, contender, dtype, shape, activations, check, done));
    }

    /** Makes each contender for a shape in turn, those that multiply the same matrix one after the other. */
    private void eachContender(GpuPlan plan, GemmShape shape, Predicate<String> wanted, Turn turn) {
        clock.enter(PhaseClock.Phase.WEIGHTS);
        DeviceTensor floats = new DeviceTensor(DType.F32, Shape.of(shape.n(), shape.k()), weights.reserve(4 * shape.n() * shape.k()));
        kernels.normal(timer.stream(), floats, plan.seed(), DEVIATION);
        timer.stream().synchronize();
        for (Scheme scheme : contenders.schemes(plan)) {
            List<Contenders.Entry> entries = contenders.of(plan, scheme).stream().filter(entry -> wanted.test(entry.name())).toList();
            if (entries.isEmpty()) {
                continue;
            }
            clock.enter(PhaseClock.Phase.WEIGHTS);
            try (DeviceMatrix matrix = backend.quantize(floats, scheme, options); DeviceCheck check = check(plan, matrix)) {
                compiled();
                for (Contenders.Entry entry : entries) {
                    clock.enter(PhaseClock.Phase.WEIGHTS);
                    try (Contender contender = entry.make().apply(matrix)) {
                        compiled();
                        turn.take(contender, entry.dtype(), check);
                        clock.enter(PhaseClock.Phase.COPIES);
                    }
                }
            }
        }
    }

    /** The reference's weights are what the dequantizing kernel gives, which is tested bit for bit against the definition. */
    private DeviceCheck check(GpuPlan plan, DeviceMatrix matrix) {
        long n = matrix.shape().n();
        long k = matrix.shape().k();
        DeviceTensor values = new DeviceTensor(DType.F32, Shape.of(n, k), decoded.reserve(4 * n * k));
        matrix.dequantize(values);
        return new DeviceCheck(context, kernels, timer.stream(), values, plan.seed());
    }

    private void runContender(GpuPlan plan, Contender contender, DType dtype, GemmShape shape, Activations activations, DeviceCheck check,
            Consumer<GpuResult> done) {
        clock.enter(PhaseClock.Phase.REST);
        timer.rest(SETTLE_NANOS);
        for (int m : plan.ms()) {
            if (!contender.takes(m, dtype)) {
                continue;
            }
            long bytes = bytes(contender, dtype, shape, m);
            try {
                done.accept(runCase(plan, contender, dtype, shape, m, bytes, activations, check));
            } catch (CublasLtException | NoProductException | DeviceOutOfMemoryException e) {
                done.accept(new GpuResult(contender.name(), contender.peer(), null, contender.math(), shape, m, e.getMessage(), false, null, bytes, 0));
            } catch (CudaException | IllegalStateException | IllegalArgumentException e) {
                // A case that fails is a defect like a wrong product; the others can go on unless the context is lost.
                if (context.broken() != null) {
                    throw e;
                }
                done.accept(new GpuResult(contender.name(), contender.peer(), null, contender.math(), shape, m, "failed: " + e.getMessage(), true, null,
                        bytes, Double.POSITIVE_INFINITY));
            }
        }
    }

    /** The fewest bytes that one launch moves. */
    private static long bytes(Contender contender, DType dtype, GemmShape shape, int m) {
        long xBytes = m * shape.k() * (contender.takesCodes() ? 1 : dtype.bits() / 8);
        return contender.weightBytes() + xBytes + m * shape.n() * dtype.bits() / 8;
    }

    /** Puts copies of weights and activations on the device and lets the contender choose how it multiplies them. */
    private void prepare(GpuPlan plan, Contender contender, DType dtype, GemmShape shape, int m, Activations activations) {
        clock.enter(PhaseClock.Phase.COPIES);
        long cold = coldBytes(plan, context.device().l2Bytes());
        int copies = Math.clamp(Math.ceilDiv(cold, bytes(contender, dtype, shape, m)), 2, MOST_COPIES);
        contender.copies(copies);
        activations.prepare(timer.stream(), dtype, m, shape.n(), shape.k(), copies, plan.seed(), contender.scaling(), contender.takesCodes());
        timer.stream().synchronize();
        clock.enter(contender.peer() ? PhaseClock.Phase.CHOICE : PhaseClock.Phase.COPIES);
        contender.prepare(timer, activations);
        compiled();
    }

    private GpuResult runCase(GpuPlan plan, Contender contender, DType dtype, GemmShape shape, int m, long bytes, Activations activations,
            DeviceCheck check) {
        prepare(plan, contender, dtype, shape, m, activations);
        int copies = activations.copies();
        clock.enter(PhaseClock.Phase.CHECK);
        activations.poison(timer.stream());
        double nanos = timer.once(copy -> contender.launch(timer.stream(), activations, copy));
        compiled();
        ProductCheck.Verdict first = check.check(activations, 0, contender.tolerance());
        if (first.fault() != null) {
            return wrong(contender, shape, m, bytes, first);
        }
        if (nanos > plan.rule().capNanos()) {
            String reason = String.format(Locale.ROOT, "right, but one launch of %s takes %.2f s; raise --seconds to time it", contender.kernel(),
                    nanos * 1e-9);
            return new GpuResult(contender.name(), contender.peer(), contender.kernel(), contender.math(), shape, m, reason, false, null, bytes,
                    first.worst());
        }
        TimingRule rule = Load.of(2.0 * m * shape.n() * shape.k(), peak).rule(plan.rule());
        GpuResult.Brief brief = contender.peer() ? brief(rule.brief(), contender, activations, bytes, nanos, check) : null;
        activations.poison(timer.stream());
        Timing timing = timer.time(rule, nanos, copies, copy -> contender.launch(timer.stream(), activations, copy), clock);
        GpuMonitor.State state = monitor.read();
        ProductCheck.Verdict last = checkAll(contender, activations, timing, check);
        if (last.fault() != null) {
            return wrong(contender, shape, m, bytes, last);
        }
        return new GpuResult(contender.name(), contender.peer(), contender.kernel(), contender.math(), shape, m, null, false, timing, bytes,
                Math.max(first.worst(), last.worst()), brief, state);
    }

    /** The library's first suggestion in brief replays; null where it does not run or is wrong. */
    private GpuResult.Brief brief(TimingRule rule, Contender peer, Activations activations, long bytes, double nanos, DeviceCheck check) {
        int copies = Math.clamp(Math.ceilDiv(CACHES * context.device().l2Bytes(), bytes), 2, activations.copies());
        try {
            String kernel = peer.suggestion(true);
            activations.poison(timer.stream());
            Timing timing = timer.time(rule, nanos, copies, copy -> peer.launch(timer.stream(), activations, copy), clock);
            return checkAll(peer, activations, timing, check).fault() == null ? new GpuResult.Brief(kernel, timing) : null;
        } catch (CublasLtException e) {
            return null;
        } finally {
            peer.suggestion(false);
        }
    }

    /** Quantized activations: the codes and scales that the reference needs are those of copy 0. */
    private static ProductCheck.Verdict checkAll(Contender contender, Activations activations, Timing timing, DeviceCheck check) {
        return check.checkAll(activations, timing.copies(), contender.scaling() == null ? timing.copies() - 1 : 0, contender.tolerance());
    }

    private static GpuResult wrong(Contender contender, GemmShape shape, int m, long bytes, ProductCheck.Verdict verdict) {
        return new GpuResult(contender.name(), contender.peer(), contender.kernel(), contender.math(), shape, m, verdict.fault(), true, null, bytes,
                verdict.worst());
    }

    /** What the plan asks for, or five L2 caches where that is more. */
    static long coldBytes(GpuPlan plan, long l2Bytes) {
        return Math.max(plan.coldBytes(), CACHES * l2Bytes);
    }

    @Override
    public void close() {
        if (peers != null) {
            peers.close();
        }
        monitor.close();
        weights.close();
        decoded.close();
        timer.close();
        kernels.close();
    }
}
