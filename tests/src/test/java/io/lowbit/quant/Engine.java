package io.lowbit.quant;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

/** Who quantizes and dequantizes in a test of golden vectors: the CPU or a device. */
public interface Engine {
    /** {@link Quantizer} and {@link Dequantizer}. */
    Engine CPU = new Engine() {
        @Override
        public QuantizedMatrix quantize(Tensor weights, Scheme scheme, QuantizeOptions options, Arena arena) {
            return Quantizer.quantize(weights, scheme, options, arena);
        }

        @Override
        public Tensor dequantize(QuantizedMatrix matrix, DType dtype, Arena arena) {
            return Dequantizer.dequantize(matrix, dtype, arena);
        }
    };

    QuantizedMatrix quantize(Tensor weights, Scheme scheme, QuantizeOptions options, Arena arena);

    Tensor dequantize(QuantizedMatrix matrix, DType dtype, Arena arena);
}
