package io.lowbit.cuda;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.ElementTypes;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.tensor.DType;

/**
 * Makes the quantized activations of a layer on the device: from x as it is, or from what the step before x reads, so that x
 * itself is never written. Obtained from {@link CudaLinear#activations}; lives as long as its layer.
 */
public final class LayerActivations {
    private final CudaBackend backend;
    private final CudaLinear layer;

    LayerActivations(CudaBackend backend, CudaLinear layer) {
        this.backend = backend;
        this.layer = layer;
    }

    /**
     * Adds the quantization of x to {@code stream}. Any layer of the same K whose weights lie in the same {@link CudaLinear#layout} may
     * {@link CudaLinear#multiply} the result.
     *
     * @param x {@code [M, K]}
     * @param activations at least {@link CudaLinear#workspaceBytes} bytes, overwritten
     */
    public void quantize(Stream stream, DeviceTensor x, ActivationScaling scaling, DeviceMemory activations) {
        layer.acquire();
        try {
            long m = requireInput(stream, x, activations);
            if (m > 0) {
                backend.activations().quantize(stream, scaling, x.address(), ElementTypes.of(x.dtype()), m, layer.inFeatures(),
                        layer.layout().interleaved(), activations.address());
            }
        } finally {
            layer.release();
        }
    }

    /**
     * Adds RMSNorm and the quantization of its result to {@code stream} as one kernel:
     *
     * <pre>v = (x · (1 / √(Σx²/K + ε))) · weight     then as {@link #quantize} of v in F32</pre>
     *
     * All is f32, each operation rounded once, Σx² summed in a fixed order with fused multiply-adds; v is rounded to nothing narrower
     * before it is quantized. Scales a row or for 128 neighbours; with one for all, v has to be there first: norm, then {@link #quantize}.
     * The first call of a backend loads the kernels and must not be captured in a graph.
     *
     * @param x {@code [M, K]}
     * @param weight {@code [K]}
     * @param activations at least {@link CudaLinear#workspaceBytes} bytes, overwritten
     * @param values F32 {@code [M, K]} for v, or null
     */
    public void quantizeNormed(Stream stream, DeviceTensor x, DeviceTensor weight, float epsilon, ActivationScaling scaling,
            DeviceMemory activations, DeviceTensor values) {
        layer.acquire();
        try {
            long m = requireFused(stream, x, scaling, activations, values);
            if (weight.shape().rank() != 1 || weight.shape().dim(0) != layer.inFeatures()) {
                throw new IllegalArgumentException(layer.label() + ": expected a norm's weight [" + layer.inFeatures() + "], got " + weight.shape());
            }
            if (m > 0) {
                backend.fusedActivations().norm(stream, scaling, x.address(), ElementTypes.of(x.dtype()), weight.address(),
                        ElementTypes.of(weight.dtype()), epsilon, m, layer.inFeatures(), layer.layout().interleaved(),
                        activations.address(), address(values));
            }
        } finally {
            layer.release();
        }
    }

    /**
     * Adds SwiGLU's gate and the quantization of its result to {@code stream} as one kernel:
     *
     * <pre>v = (gate / (1 + e^−gate)) · up     then as {@link #quantize} of v in F32</pre>
     *
     * All is f32: with t = e^−|gate|, which CUDA's {@code expf} gives to 2 ulp, the quotient is gate / (1 + t), or (gate · t) / (1 + t) of a
     * negative gate, right to the last bit or one beside it; the product with up is rounded once: |v − v₆₄| ≤ 2⁻²⁰·|v₆₄| + 2⁻¹²⁰. An
     * infinite gate gives NaN. The rest as {@link #quantizeNormed}.
     *
     * @param gate {@code [M, K]}
     * @param up as gate, of its type
     * @param activations at least {@link CudaLinear#workspaceBytes} bytes, overwritten
     * @param values F32 {@code [M, K]} for v, or null
     */
    public void quantizeGated(Stream stream, DeviceTensor gate, DeviceTensor up, ActivationScaling scaling, DeviceMemory activations,
            DeviceTensor values) {
        layer.acquire();
        try {
            long m = requireFused(stream, gate, scaling, activations, values);
            if (up.dtype() != gate.dtype() || !up.shape().equals(gate.shape())) {
                throw new IllegalArgumentException(layer.label() + ": gate is " + gate.dtype() + " " + gate.shape() + ", up is " + up.dtype() + " "
                        + up.shape() + "; expected the same");
            }
            if (m > 0) {
                backend.fusedActivations().gate(stream, scaling, gate.address(), up.address(), ElementTypes.of(gate.dtype()), m,
                        layer.inFeatures(), layer.layout().interleaved(), activations.address(), address(values));
            }
        } finally {
            layer.release();
        }
    }

    /** @return M */
    private long requireFused(Stream stream, DeviceTensor x, ActivationScaling scaling, DeviceMemory activations, DeviceTensor values) {
        long m = requireInput(stream, x, activations);
        if (scaling == ActivationScaling.ROW_INT4) {
            throw new IllegalArgumentException(scaling.label() + " activations are not quantized while they are made: use quantize, or "
                    + ActivationScaling.ROW_INT8.label());
        }
        if (scaling.tensor()) {
            throw new IllegalArgumentException("one scale for all of x needs all of x first: quantize it after the step before, or take "
                    + (scaling.e5m2() ? ActivationScaling.ROW_E5M2 : ActivationScaling.ROW).label());
        }
        if (scaling.mx()) {
            throw new IllegalArgumentException("the fused kernels do not make " + scaling.label() + ": quantize it after the step before");
        }
        if (values != null && (values.dtype() != DType.F32 || !values.shape().equals(x.shape()))) {
            throw new IllegalArgumentException(layer.label() + ": expected values F32 " + x.shape() + ", got " + values.dtype() + " "
                    + values.shape());
        }
        return m;
    }

    private static long address(DeviceTensor tensor) {
        return tensor == null ? 0 : tensor.address();
    }

    /** @return M */
    private long requireInput(Stream stream, DeviceTensor x, DeviceMemory activations) {
        layer.requireStream(stream);
        if (x.shape().rank() != 2 || x.shape().dim(1) != layer.inFeatures()) {
            throw new IllegalArgumentException(layer.label() + ": expected x [M, " + layer.inFeatures() + "], got " + x.shape());
        }
        layer.requireWorkspace(activations, x.shape().dim(0));
        return x.shape().dim(0);
    }
}
