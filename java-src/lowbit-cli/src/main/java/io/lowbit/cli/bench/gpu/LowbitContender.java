package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.CudaLinear;
import io.lowbit.cuda.DeviceMatrix;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/**
 * A layer of Lowbit, on activations as they come or quantized to 8 bits: before the launches, as the peers'
 * are, or in each of them.
 */
final class LowbitContender implements Contender {
    private final CudaBackend backend;
    private final MatrixShape shape;
    private final EightBits inputs;
    private final ActivationScaling scaling;
    private final ProductKernel forced;
    private final List<CudaLinear> layers = new ArrayList<>();
    /** Quantized copies of x, or room for them. */
    private final List<DeviceMemory> quantized = new ArrayList<>();
    private ProductKernel kernel;
    private DType dtype;

    /**
     * @param inputs null for activations as they come
     * @param forced makes all its products; null where kernels are chosen as ever
     */
    LowbitContender(CudaBackend backend, DeviceMatrix matrix, EightBits inputs, ProductKernel forced) {
        this.backend = backend;
        this.shape = matrix.shape();
        this.inputs = inputs;
        this.scaling = inputs == null ? null : inputs.scaling();
        this.forced = forced;
        layers.add(forced == null ? backend.load(matrix, null) : backend.load(matrix, null, KernelChoice.always(forced.name())));
    }

    @Override
    public String name() {
        return Forced.name(inputs == null ? shape.scheme().label() : inputs.name(shape.scheme()), forced);
    }

    @Override
    public String kernel() {
        return kernel.name();
    }

    @Override
    public boolean peer() {
        return false;
    }

    @Override
    public ActivationScaling scaling() {
        return scaling;
    }

    @Override
    public boolean takesCodes() {
        return scaling != null && !inputs.within();
    }

    @Override
    public MathType math() {
        return scaling == null ? MathType.BF16 : MathType.FP8;
    }

    @Override
    public long weightBytes() {
        return CanonicalLayout.INSTANCE.bytes(shape);
    }

    @Override
    public Tolerance tolerance() {
        return new Tolerance(kernel.operandRounding(shape.scheme(), dtype), 0);
    }

    @Override
    public boolean takes(int m, DType dtype) {
        return forced == null || forced == kernel(m, dtype);
    }

    private ProductKernel kernel(long m, DType dtype) {
        CudaLinear first = layers.getFirst();
        return scaling == null ? first.kernel(m, dtype, dtype) : first.kernel(m, dtype, dtype, scaling, inputs.accumulation());
    }

    @Override
    public void copies(int count) {
        while (layers.size() < count) {
            layers.add(layers.getFirst().duplicate());
        }
    }

    @Override
    public void prepare(GraphTimer timer, Activations a) {
        dtype = a.x(0).dtype();
        kernel = kernel(a.m(), dtype);
        if (scaling == null) {
            return;
        }
        CudaLinear first = layers.getFirst();
        if (kernel == null) {
            throw new NoProductException("no kernel for " + scaling.label() + " activations and " + shape.scheme().label() + " weights here");
        }
        release();
        for (int i = 0; i < a.copies(); i++) {
            quantized.add(backend.context().allocate(first.workspaceBytes(a.m())));
            if (!inputs.within()) {
                first.activations().quantize(timer.stream(), a.x(i), scaling, quantized.get(i));
            }
        }
    }

    @Override
    public void launch(Stream stream, Activations a, int copy) {
        if (scaling == null) {
            layers.get(copy).forward(stream, a.x(copy), a.y(copy));
        } else if (inputs.within()) {
            layers.get(copy).forwardQuantized(stream, a.x(copy), a.y(copy), scaling, inputs.accumulation(), quantized.get(copy));
        } else {
            layers.get(copy).multiply(stream, quantized.get(copy), a.y(copy), scaling, inputs.accumulation());
        }
    }

    @Override
    public void close() {
        layers.forEach(CudaLinear::close);
        release();
    }

    private void release() {
        quantized.forEach(DeviceMemory::close);
        quantized.clear();
    }
}
