package io.lowbit.cuda;

import io.lowbit.quant.Engine;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

/** The first GPU, as one that quantizes and dequantizes. One for all tests, open as long as the process. */
final class GpuEngine implements Engine {
    private static GpuEngine shared;

    private final CudaBackend backend = Gpu.open();

    private GpuEngine() {}

    static synchronized GpuEngine get() {
        if (shared == null) {
            shared = new GpuEngine();
        }
        return shared;
    }

    @Override
    public QuantizedMatrix quantize(Tensor weights, Scheme scheme, QuantizeOptions options, Arena arena) {
        return backend.quantize(weights, scheme, options, arena);
    }

    @Override
    public Tensor dequantize(QuantizedMatrix matrix, DType dtype, Arena arena) {
        Tensor out = Tensor.allocate(arena, dtype, matrix.n(), matrix.k());
        try (CudaLinear layer = backend.load(matrix)) {
            layer.dequantize(out);
        }
        return out;
    }
}
