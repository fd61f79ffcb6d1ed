package io.lowbit.cli.bench;

import io.lowbit.backend.Backend;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.simd.Simd;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * The engine: runs a {@link GemmPlan} on a backend.
 *
 * <p>For each scheme and shape one random matrix is quantized and loaded as often as the set needs. For each case:
 * <ol>
 * <li>y is poisoned, computed once and checked against the f64 reference; a wrong product is refused, not timed;
 * <li>untimed calls until the compiler has been quiet for {@link #QUIET_NANOS};
 * <li>{@link #ROUNDS} rounds of timed calls on rotating copies, the limits measured before, between and after them, so
 *     that a machine that drifts moves both sides of the ratio;
 * <li>y is poisoned, computed and checked again: compiled code must be as right as interpreted code.
 * </ol>
 */
public final class GemmBench {
    /** Rounds of timed calls. */
    public static final int ROUNDS = 5;
    /** No compilation may end for so long before the timing starts. */
    public static final long QUIET_NANOS = 300_000_000L;

    private static final long WARM_LIMIT_NANOS = 20_000_000_000L;
    private static final int QUIET_CALLS = 4;
    private static final int MOST_RUNS = 1 << 16;
    private static final int CEILING_SAMPLES = 7;
    private static final int SETTLE_SAMPLES = 20;

    private final Backend backend;
    private final int threads;
    private final Limits limits;
    private final WeightMaker maker;
    private final HostCounters host;
    private final long[] nanos = new long[MOST_RUNS];

    /** Makes the random matrix of a scheme. */
    @FunctionalInterface
    public interface WeightMaker {
        /**
         * Quantizes.
         *
         * @param weights F32 {@code [N, K]}
         * @param scheme how to store them
         * @param arena where
         */
        QuantizedMatrix quantize(Tensor weights, Scheme scheme, Arena arena);
    }

    /**
     * @param backend loads and multiplies; stays open
     * @param threads that the backend computes with
     * @param limits of the same hardware; stay open
     * @param maker quantizes the random weights
     * @param host clock and counters
     */
    public GemmBench(Backend backend, int threads, Limits limits, WeightMaker maker, HostCounters host) {
        this.backend = backend;
        this.threads = threads;
        this.limits = limits;
        this.maker = maker;
        this.host = host;
    }

    /** Hears how a run goes on. */
    public interface Listener {
        /** The limits at the start are known, and nothing else. */
        default void began(GemmReport sofar) {}

        /** One more case. */
        default void done(GemmResult result, Supplier<GemmReport> sofar) {}

        /** Every case of a shape. */
        default void finished(GemmShape shape, GemmReport sofar) {}
    }

    /** Runs every case of the plan, shape after shape. */
    public GemmReport run(GemmPlan plan, Listener listener) {
        Instant when = Instant.now();
        GemmReport.Ceiling before = ceiling(plan.sets());
        List<GemmResult> results = new ArrayList<>();
        Supplier<GemmReport> sofar = () -> new GemmReport(when, plan, backend.name(), backend.description(), threads, Simd.width(), limits.method(),
                before, null, List.copyOf(results));
        listener.began(sofar.get());
        for (GemmShape shape : plan.shapes()) {
            try (Arena arena = Arena.ofShared()) {
                Tensor weights = Tensor.allocate(arena, DType.F32, shape.n(), shape.k());
                gaussian(weights, 0.02, plan.seed());
                for (Scheme scheme : plan.schemes()) {
                    runSet(plan, scheme, shape, weights, result -> {
                        results.add(result);
                        listener.done(result, sofar);
                    });
                }
            }
            listener.finished(shape, sofar.get());
        }
        return new GemmReport(when, plan, backend.name(), backend.description(), threads, Simd.width(), limits.method(), before,
                ceiling(plan.sets()), results);
    }

    private void runSet(GemmPlan plan, Scheme scheme, GemmShape shape, Tensor weights, Consumer<GemmResult> done) {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix matrix = maker.quantize(weights, scheme, arena);
            ProductCheck check = new ProductCheck(matrix, plan.seed());
            try (RotatingLayers layers = new RotatingLayers(backend, matrix)) {
                for (GemmCase gemm : plan.cases(scheme, shape)) {
                    done.accept(runCase(plan, gemm, layers, check));
                }
            }
        }
    }

    private GemmResult runCase(GemmPlan plan, GemmCase gemm, RotatingLayers layers, ProductCheck check) {
        long most = Math.max(layers.layerBytes(), layers.storedBytes());
        int copies = gemm.regime() == Regime.DRAM
                ? plan.sets().dramCopies(gemm.m(), Math.min(layers.layerBytes(), layers.storedBytes()))
                : plan.sets().l3Copies(most);
        if (copies == 0) {
            return new GemmResult.Skipped(gemm, String.format(java.util.Locale.ROOT,
                    "one copy takes %.1f MB, the L3 set of this machine at most %.1f MB", most * 1e-6, plan.sets().l3Limit() * 1e-6));
        }
        try (Arena arena = Arena.ofShared()) {
            Tensor x = Tensor.allocate(arena, gemm.dtype(), gemm.m(), gemm.shape().k());
            Tensor y = Tensor.allocate(arena, gemm.dtype(), gemm.m(), gemm.shape().n());
            gaussian(x, 1, plan.seed() + gemm.m());
            layers.use(1);
            ProductCheck.Verdict cold = verdict(layers, x, y, check);
            if (cold.fault() != null) {
                return new GemmResult.Refused(gemm, cold.fault());
            }
            layers.use(copies);
            boolean steady = warmUp(plan, layers, x, y);
            return time(plan, gemm, layers, x, y, check, cold.worst(), steady);
        }
    }

    private static ProductCheck.Verdict verdict(RotatingLayers layers, Tensor x, Tensor y, ProductCheck check) {
        ProductCheck.poison(y);
        layers.next().forward(x, y);
        return check.check(x, y);
    }

    /** Calls until the compiler is quiet; false where it never was. */
    private boolean warmUp(GemmPlan plan, RotatingLayers layers, Tensor x, Tensor y) {
        long start = host.nanoTime();
        long quietSince = start;
        long compiled = host.compileMillis();
        int quietCalls = 0;
        while (true) {
            layers.next().forward(x, y);
            quietCalls++;
            long now = host.nanoTime();
            long compiledNow = host.compileMillis();
            if (compiledNow != compiled) {
                compiled = compiledNow;
                quietSince = now;
                quietCalls = 0;
            }
            boolean quiet = now - quietSince >= QUIET_NANOS && quietCalls >= QUIET_CALLS;
            if (quiet && now - start >= plan.warmSeconds() * 1e9) {
                return true;
            }
            if (now - start >= WARM_LIMIT_NANOS) {
                return quiet;
            }
        }
    }

    private GemmResult time(GemmPlan plan, GemmCase gemm, RotatingLayers layers, Tensor x, Tensor y, ProductCheck check, double worst,
            boolean steady) {
        long setBytes = Math.min(plan.sets().dramBytes(), layers.copies() * layers.storedBytes());
        double[] bandwidth = new double[ROUNDS + 1];
        double[] flops = new double[ROUNDS + 1];
        // in the L3 regime the limits' own set has just been there: bring the weights back first
        int again = gemm.regime() == Regime.L3 ? 2 * layers.copies() : 2;
        int leastOfRound = Math.ceilDiv(plan.minRuns(), ROUNDS);
        long budget = (long) (plan.seconds() * 1e9 / ROUNDS);
        int runs = 0;
        long allocated = 0;
        settle(gemm.regime(), setBytes);
        long wallBefore = host.nanoTime();
        long othersBefore = host.othersNanos();
        double first = 0;
        double last = 0;
        for (int round = 0; round < ROUNDS; round++) {
            bandwidth[round] = limits.readBandwidth(gemm.regime(), setBytes);
            flops[round] = limits.flops();
            for (int i = 0; i < again; i++) {
                layers.next().forward(x, y);
            }
            int from = runs;
            int room = MOST_RUNS / ROUNDS * (round + 1);
            long allocatedBefore = host.allocatedBytes();
            long roundStart = host.nanoTime();
            long t0 = roundStart;
            while (runs < room && (runs - from < leastOfRound || t0 - roundStart < budget)) {
                t0 = host.nanoTime();
                layers.next().forward(x, y);
                long t1 = host.nanoTime();
                nanos[runs++] = t1 - t0;
                t0 = t1;
            }
            allocated += host.allocatedBytes() - allocatedBefore;
            last = Samples.of(java.util.Arrays.copyOfRange(nanos, from, runs), runs - from).median();
            first = round == 0 ? last : first;
        }
        bandwidth[ROUNDS] = limits.readBandwidth(gemm.regime(), setBytes);
        flops[ROUNDS] = limits.flops();
        double others = Math.max(0, (double) (host.othersNanos() - othersBefore) / (host.nanoTime() - wallBefore));
        ProductCheck.Verdict hot = verdict(layers, x, y, check);
        if (hot.fault() != null) {
            return new GemmResult.Refused(gemm, "after the timed calls " + hot.fault());
        }
        return new GemmResult.Timed(gemm, layers.copies(), layers.storedBytes(), layers.layerBytes(), Samples.of(nanos, runs), first, last,
                (double) allocated / runs, Math.max(worst, hot.worst()), steady, others, Samples.of(bandwidth), Samples.of(flops));
    }

    /**
     * Samples the bandwidth until two samples in a row agree: code that a backend loads can make the compiler throw
     * the limits' loops away once more.
     */
    private void settle(Regime regime, long setBytes) {
        double before = limits.readBandwidth(regime, setBytes);
        for (int i = 0; i < SETTLE_SAMPLES; i++) {
            double now = limits.readBandwidth(regime, setBytes);
            limits.flops();
            if (i >= 2 && Math.abs(now - before) < 0.1 * Math.max(now, before)) {
                return;
            }
            before = now;
        }
    }

    private GemmReport.Ceiling ceiling(SetSizes sets) {
        double[] dram = new double[CEILING_SAMPLES];
        double[] l3 = new double[CEILING_SAMPLES];
        double[] flops = new double[CEILING_SAMPLES];
        for (int i = 0; i < CEILING_SAMPLES; i++) {
            dram[i] = limits.readBandwidth(Regime.DRAM, sets.dramBytes());
            l3[i] = sets.l3Bytes() > 0 ? limits.readBandwidth(Regime.L3, sets.l3Bytes()) : 0;
            flops[i] = limits.flops();
        }
        return new GemmReport.Ceiling(Samples.of(dram), sets.l3Bytes() > 0 ? Samples.of(l3) : null, Samples.of(flops));
    }

    private static void gaussian(Tensor out, double deviation, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        for (long i = 0; i < out.elements(); i++) {
            out.setFloat(i, (float) (random.nextGaussian() * deviation));
        }
    }
}
