package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.CudaLinear;
import io.lowbit.cuda.DeviceMatrix;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/** A layer of Lowbit, on activations as they come or, where a scaling is given, quantized to FP8 inside of the launch. */
final class LowbitContender implements Contender {
    private final CudaBackend backend;
    private final MatrixShape shape;
    private final ActivationScaling scaling;
    private final List<CudaLinear> layers = new ArrayList<>();
    private DeviceMemory workspace;
    private ProductKernel kernel;
    private DType dtype;

    LowbitContender(CudaBackend backend, DeviceMatrix matrix, ActivationScaling scaling) {
        this.backend = backend;
        this.shape = matrix.shape();
        this.scaling = scaling;
        layers.add(backend.load(matrix, null));
    }

    @Override
    public String name() {
        return shape.scheme().label() + (scaling == null ? "" : GpuBench.W8A8);
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
        return false;
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
    public void copies(int count) {
        while (layers.size() < count) {
            layers.add(layers.getFirst().duplicate());
        }
    }

    @Override
    public void prepare(GraphTimer timer, Activations a) {
        dtype = a.x(0).dtype();
        kernel = layers.getFirst().kernel(a.m(), dtype, dtype, scaling);
        if (scaling != null) {
            long bytes = layers.getFirst().workspaceBytes(a.m());
            if (workspace == null || workspace.bytes() < bytes) {
                if (workspace != null) {
                    workspace.close();
                }
                workspace = backend.context().allocate(bytes);
            }
        }
    }

    @Override
    public void launch(Stream stream, Activations a, int copy) {
        if (scaling == null) {
            layers.get(copy).forward(stream, a.x(copy), a.y(copy));
        } else {
            layers.get(copy).forwardQuantized(stream, a.x(copy), a.y(copy), scaling, workspace);
        }
    }

    @Override
    public void close() {
        layers.forEach(CudaLinear::close);
        if (workspace != null) {
            workspace.close();
        }
    }
}
