package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * 4-bit kernels that cut the K of tiles: into a dozen pieces, two, two or three, one or two. The same bits in hundreds of replays,
 * also where two streams have the GPU at once and the pieces of a tile come at any time; the workspace's counters are zero after it.
 */
@Tag("gpu")
class StreamKGpuTest {
    private static final int REPLAYS = 200;
    private static final long SEED = 43;

    @ParameterizedTest(name = "{0}x{1} M={2}, seed 43")
    @CsvSource({"520, 4096, 300", "8448, 1024, 256", "12000, 520, 250", "25001, 264, 200"})
    void sumsOfPiecesAreAddedInOrder(int n, int k, int m) {
        Gpu.require();
        Assumptions.assumeTrue(Gpu.architectures().anyMatch(Architecture.SM90::equals), "needs sm_90a");
        Scheme scheme = new Scheme.Int4(Grouping.group(128), true, DType.BF16);
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, scheme, n, k, SEED);
            Tensor x = Schemes.normal(arena, DType.BF16, SEED + 1, 1, m, k);
            double[][] weights = Products.weights(w);
            for (ProductKernel kernel : Catalogue.kernels(Architecture.SM90)) {
                if (!kernel.name().startsWith("w4-gemm")) {
                    continue;
                }
                Tensor y = Tensor.allocate(arena, DType.F32, m, n);
                try (CudaBackend backend = Gpu.open(Architecture.SM90, KernelChoice.always(kernel.name())); CudaLinear layer = backend.load(w)) {
                    assertSame(kernel, layer.kernel(m, DType.BF16, DType.F32));
                    layer.forward(x, y);
                    replays(backend, layer, x, y, arena);
                }
                for (int row : new int[] {0, m / 2, m - 1}) {
                    Products.check(kernel.name() + " row " + row, weights, Products.rows(x.rows(row, row + 1)), null, y.rows(row, row + 1),
                            kernel.operandRounding(scheme, DType.BF16));
                }
            }
        }
    }

    private static void replays(CudaBackend backend, CudaLinear layer, Tensor x, Tensor expected, Arena arena) {
        MemorySegment got = arena.allocate(expected.data().byteSize());
        MemorySegment counters = arena.allocate(Stream.COUNTER_BYTES);
        try (Stream one = Stream.open(backend.context()); Stream two = Stream.open(backend.context());
                DeviceMemory dx = DeviceMemory.allocate(one, x.data().byteSize()); DeviceMemory dy = DeviceMemory.allocate(one, 2 * got.byteSize())) {
            one.upload(dx.address(), x.data(), dx.bytes());
            one.fill(dy.address(), (byte) 0xff, dy.bytes());
            // Whatever lies behind the counters is nobody's sums.
            for (Stream stream : List.of(one, two)) {
                stream.fill(stream.workspace() + Stream.COUNTER_BYTES, (byte) 0xff, Stream.WORKSPACE_BYTES - Stream.COUNTER_BYTES);
            }
            one.synchronize();
            DeviceTensor xs = new DeviceTensor(DType.BF16, x.shape(), dx.address());
            List<Stream> streams = List.of(one, two);
            List<Graph> graphs = IntStream.range(0, 2).mapToObj(i -> Graph.capture(streams.get(i),
                    () -> layer.forward(streams.get(i), xs, new DeviceTensor(DType.F32, expected.shape(), dy.address() + i * got.byteSize())))).toList();
            for (int i = 0; i < REPLAYS; i++) {
                graphs.getFirst().launch(one);
                graphs.getLast().launch(two);
                if (i % 20 == 0) {
                    for (int s = 0; s < 2; s++) {
                        streams.get(s).download(got, dy.address() + s * got.byteSize(), got.byteSize());
                        streams.get(s).synchronize();
                        assertEquals(-1, got.mismatch(expected.data()), "stream " + s + ", replay " + i);
                        streams.get(s).fill(dy.address() + s * got.byteSize(), (byte) 0xff, got.byteSize());
                    }
                }
            }
            for (Stream stream : streams) {
                stream.download(counters, stream.workspace(), Stream.COUNTER_BYTES);
                stream.synchronize();
                assertEquals(-1, counters.mismatch(arena.allocate(Stream.COUNTER_BYTES)), "counters that are not zero");
            }
            graphs.forEach(Graph::close);
        }
    }
}
