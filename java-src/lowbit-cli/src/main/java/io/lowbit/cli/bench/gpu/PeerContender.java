package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.cublaslt.Algorithm;
import io.lowbit.cli.bench.cublaslt.CublasLtException;
import io.lowbit.cli.bench.cublaslt.CublasLtHandle;
import io.lowbit.cli.bench.cublaslt.CublasLtProduct;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.cuda.DeviceMatrix;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.quant.ActivationScaling;
import java.util.List;

/** cuBLASLt on BF16 or FP8 weights: of its heuristic's suggestions, the one that is fastest here, by more than the noise of a trial. */
final class PeerContender implements Contender {
    /** A suggestion is tried for about so long. */
    private static final TimingRule TRIAL = new TimingRule(5, 0.2e6, 0, 0.5e6, false, 20e6);

    /** Parts of the canonical layout. */
    private static final int CODES = 0;
    private static final int SCALES = 1;

    private final CublasLtHandle library;
    private final Operands operands;
    private final Copies weights;
    private final long weightBytes;
    private final DeviceMemory scales;
    private CublasLtProduct product;
    private Algorithm used;
    private Algorithm fastest;
    private String told;

    /**
     * @param matrix BF16, or E4M3 scaled per tensor or per channel as the operands want it
     */
    PeerContender(CublasLtHandle library, Context context, Stream stream, Operands operands, DeviceMatrix matrix) {
        this.library = library;
        this.operands = operands;
        MatrixShape shape = matrix.shape();
        CanonicalLayout.Parts parts = CanonicalLayout.Parts.of(shape);
        this.weightBytes = CanonicalLayout.INSTANCE.bytes(shape);
        this.weights = new Copies(context, stream, matrix.address() + parts.offset(CODES), shape.n() * shape.k() * (operands.fp8() ? 1 : 2));
        if (operands.fp8()) {
            scales = context.allocate(4 * (operands.rows() ? shape.n() : 1));
            stream.copy(scales.address(), matrix.address() + parts.offset(SCALES), scales.bytes());
            stream.synchronize();
        } else {
            scales = null;
        }
    }

    @Override
    public String name() {
        return GpuBench.peerName(operands);
    }

    @Override
    public String kernel() {
        return told;
    }

    @Override
    public boolean peer() {
        return true;
    }

    @Override
    public ActivationScaling scaling() {
        return !operands.fp8() ? null : operands.rows() ? ActivationScaling.ROW : ActivationScaling.TENSOR;
    }

    @Override
    public boolean takesCodes() {
        return operands.fp8();
    }

    @Override
    public MathType math() {
        return operands.fp8() ? MathType.FP8 : MathType.BF16;
    }

    @Override
    public long weightBytes() {
        return weightBytes;
    }

    @Override
    public Tolerance tolerance() {
        return Tolerance.FOREIGN;
    }

    @Override
    public void copies(int count) {
        weights.reach(count);
    }

    @Override
    public void prepare(GraphTimer timer, Activations a) {
        forget();
        product = new CublasLtProduct(library, operands, a.m(), a.n(), a.k(), scales == null ? 0 : scales.address(),
                operands.fp8() ? a.scales(0) : 0);
        List<Algorithm> algorithms = product.algorithms();
        Trials trials = Trials.of(algorithms.size(), i -> trial(timer, a, algorithms.get(i)));
        if (trials.chosen() < 0) {
            throw new CublasLtException("cublasLtMatmul: none of " + algorithms.size() + " suggested algorithms runs");
        }
        fastest = algorithms.get(trials.chosen());
        used = fastest;
        told = fastest.name() + ", " + (fastest.rank() + 1) + " of " + algorithms.size();
        if (fastest.rank() != 0 && Double.isFinite(trials.first())) {
            told += String.format(java.util.Locale.ROOT, ", the first is %.0f %% slower", 100 * (trials.first() / trials.nanos() - 1));
        }
    }

    /** Nanoseconds of a launch; infinity where the algorithm does not run. */
    private double trial(GraphTimer timer, Activations a, Algorithm algorithm) {
        used = algorithm;
        try {
            return timer.time(TRIAL, a.copies(), copy -> launch(timer.stream(), a, copy)).nanos().median();
        } catch (CublasLtException e) {
            return Double.POSITIVE_INFINITY;
        }
    }

    @Override
    public String suggestion(boolean first) {
        used = first ? product.algorithms().getFirst() : fastest;
        return used.name();
    }

    @Override
    public void launch(Stream stream, Activations a, int copy) {
        product.enqueue(stream, used, weights.at(copy), operands.fp8() ? a.codes(copy) : a.x(copy).address(), a.y(copy).address());
    }

    private void forget() {
        if (product != null) {
            product.close();
            product = null;
        }
        used = null;
        fastest = null;
        told = null;
    }

    @Override
    public void close() {
        forget();
        weights.close();
        if (scales != null) {
            scales.close();
        }
    }
}
