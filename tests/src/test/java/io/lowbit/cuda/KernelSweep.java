package io.lowbit.cuda;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

/** Runs every kernel once on odd shapes: a program for compute-sanitizer, which is too slow for the tests themselves. */
final class KernelSweep {
    private KernelSweep() {}

    public static void main(String[] args) {
        int products = 0;
        DType[] types = {DType.F32, DType.F16, DType.BF16};
        for (Architecture architecture : Gpu.architectures().toList()) {
            for (ProductKernel kernel : Catalogue.kernels(architecture)) {
                try (CudaBackend backend = CudaBackend.open(0, architecture, KernelChoice.always(kernel.name())); Arena arena = Arena.ofShared()) {
                    for (Scheme scheme : Schemes.ALL) {
                        QuantizedMatrix w = Schemes.quantized(arena, scheme, 67, 131, 1);
                        Tensor bias = Schemes.normal(arena, types[products % 3], 2, 1, 67);
                        try (CudaLinear layer = backend.load(w, bias)) {
                            for (long m : new long[] {1, 9, 70}) {
                                Tensor x = Schemes.normal(arena, types[products % 3], 3, 1, m, 131);
                                Tensor y = Tensor.allocate(arena, types[products / 3 % 3], m, 67);
                                layer.forward(x, y);
                                if (scheme instanceof Scheme.Fp8 f && !f.grouping().label().equals("block3x5")) {
                                    for (ActivationScaling scaling : ActivationScaling.values()) {
                                        layer.forwardQuantized(x, y, scaling, Accumulation.EXACT);
                                    }
                                }
                                products++;
                            }
                            layer.dequantize(Tensor.allocate(arena, types[products % 3], 67, 131));
                        }
                    }
                }
            }
        }
        int quantized = 0;
        for (Architecture architecture : Gpu.architectures().toList()) {
            try (CudaBackend backend = CudaBackend.open(0, architecture, KernelChoice.byTable()); Arena arena = Arena.ofShared()) {
                for (Scheme scheme : Schemes.ALL) {
                    for (DType type : types) {
                        backend.quantize(Schemes.normal(arena, type, 4, 1, 67, 131), scheme, QuantizeOptions.DEFAULT, arena);
                        quantized++;
                    }
                }
            }
        }
        System.out.println(products + " products and " + quantized + " quantizations swept");
    }
}
