package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.Golden;
import io.lowbit.checkpoint.GoldenLayer;
import io.lowbit.checkpoint.GoldenProducts;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Every layer of the reference checkpoints on the card: the expected bits, the expected product within its bound. */
@Tag("gpu")
class GoldenCheckpointsGpuTest {
    @Test
    void everyGoldenLayer() throws IOException {
        Gpu.require();
        int products = 0;
        try (CudaBackend backend = CudaBackend.open(0)) {
            for (GoldenLayer golden : GoldenLayer.all()) {
                try (Checkpoint c = golden.open(); SafetensorsFile e = SafetensorsFile.open(Golden.path(golden.expected())); Arena arena = Arena.ofShared()) {
                    QuantizedMatrix m = Layouts.of(c).read(golden.layer(), arena);
                    same(backend, golden.toString(), m, e.tensor(golden.prefix() + ".weight_f32"), arena);
                    GoldenProducts.check(golden, backend, m, c, e);
                    products++;
                }
            }
            try (Checkpoint c = Checkpoint.open(Golden.path("gguf/all_types.gguf")); Arena arena = Arena.ofShared();
                    SafetensorsFile e = SafetensorsFile.open(Golden.path("gguf/expected.safetensors"))) {
                for (String type : List.of("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_K", "q5_K", "q6_K", "iq4_nl", "mxfp4", "nvfp4")) {
                    same(backend, type, Layouts.of(c).read("blk.0.w_" + type, arena), e.tensor("dequant." + type), arena);
                    products++;
                }
            }
        }
        System.out.println(products + " golden layers exact on the card");
    }

    private static void same(CudaBackend backend, String what, QuantizedMatrix m, Tensor want, Arena arena) {
        Tensor got = Tensor.allocate(arena, DType.F32, m.n(), m.k());
        try (CudaLinear layer = backend.load(m)) {
            layer.dequantize(got);
        }
        assertEquals(-1, want.data().mismatch(got.data()), what);
    }
}
