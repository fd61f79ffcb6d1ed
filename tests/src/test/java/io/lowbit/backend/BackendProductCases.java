package io.lowbit.backend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Products of every scheme on a backend: the error bound, odd inputs, any memory, many callers. The same for every backend. */
public abstract class BackendProductCases {
    /** Who is tested; not to be closed by a test. */
    protected abstract Backend backend();

    public static Stream<Scheme> schemes() {
        return ProductCase.schemes().stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("schemes")
    public void everyProductIsWithinItsBound(Scheme scheme) {
        for (ProductCase c : ProductCase.of(scheme)) {
            double worst = c.run(backend());
            assertTrue(worst <= 1, () -> c + ": error is " + worst + " of its bound");
        }
    }

    protected static float[] forward(Backend backend, ProductCase c, Arena arena) {
        Tensor y = Tensor.allocate(arena, c.yType(), c.m(), c.n());
        try (Linear layer = backend.load(c.weights(arena), c.bias(arena))) {
            layer.forward(c.x(arena), y);
        }
        return y.toFloats();
    }

    /** One to many rows, sizes that suit tiles and that do not, every type of x, y and bias in turn. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("schemes")
    public void addingGivesTheBitsOfTheProductThenTheSum(Scheme scheme) {
        DType[] types = {DType.F32, DType.BF16, DType.F16};
        int turn = 0;
        for (int[] size : new int[][] {{1, 192, 512}, {3, 67, 131}, {20, 192, 512}, {70, 67, 131}}) {
            DType bias = turn % 2 == 0 ? null : types[turn / 2 % 3];
            add(new ProductCase(scheme, size[0], size[1], size[2], types[(turn + 1) % 3], types[turn % 3], bias, 300 + turn));
            turn++;
        }
    }

    private void add(ProductCase c) {
        try (Arena shared = Arena.ofShared(); Arena confined = Arena.ofConfined(); Linear layer = backend().load(c.weights(shared), c.bias(shared))) {
            Tensor x = c.x(shared);
            Tensor product = Tensor.allocate(shared, DType.F32, c.m(), c.n());
            layer.forward(x, product);
            Tensor before = RandomMatrix.floats(shared, new SplittableRandom(c.seed()), c.yType(), 1f, true, c.m(), c.n());
            Tensor expected = Tensor.allocate(shared, c.yType(), c.m(), c.n());
            for (long i = 0; i < expected.elements(); i++) {
                expected.setFloat(i, before.getFloat(i) + product.getFloat(i));
            }
            MemorySegment heap = c.yType() == DType.F32 ? MemorySegment.ofArray(new float[c.m() * c.n()]) : MemorySegment.ofArray(new short[c.m() * c.n()]);
            for (Tensor y : List.of(Tensor.allocate(shared, c.yType(), c.m(), c.n()), Tensor.allocate(confined, c.yType(), c.m(), c.n()),
                    new Tensor(c.yType(), expected.shape(), heap))) {
                y.data().copyFrom(before.data());
                layer.forwardAdd(x, y);
                assertEquals(-1, expected.data().mismatch(y.data()), () -> c + (y.data().isNative() ? "" : " on the heap"));
            }
        }
    }

    @Test
    public void rowsBeyondOneBatchAreRightToo() {
        ProductCase c = new ProductCase(new Scheme.Int4(Grouping.group(32), false), 1030, 70, 96, DType.F32, DType.F32, null, 5);
        double worst = c.run(backend());
        assertTrue(worst <= 1, () -> c + ": error is " + worst + " of its bound");
    }

    @Test
    public void memoryOfAnyKindIsReadAndWritten() {
        ProductCase c = new ProductCase(new Scheme.Mxfp4(), 9, 50, 70, DType.F32, DType.F32, null, 6);
        try (Arena shared = Arena.ofShared(); Arena confined = Arena.ofConfined()) {
            float[] expected = forward(backend(), c, shared);
            float[] xs = c.x(shared).toFloats();
            QuantizedMatrix weights = c.weights(confined);
            try (Linear layer = backend().load(weights)) {
                for (int m : new int[] {1, 9}) {
                    Tensor x = Tensor.ofFloats(confined, java.util.Arrays.copyOf(xs, m * 70), m, 70);
                    Tensor y = Tensor.allocate(confined, DType.F32, m, 50);
                    layer.forward(x, y);
                    Tensor onHeap = new Tensor(DType.F32, y.shape(), MemorySegment.ofArray(new float[m * 50]));
                    layer.forward(new Tensor(DType.F32, x.shape(), MemorySegment.ofArray(x.toFloats())), onHeap);
                    Tensor unaligned = new Tensor(DType.F32, y.shape(), shared.allocate(4L * m * 50 + 1).asSlice(1));
                    layer.forward(x, unaligned);
                    for (int i = 0; i < m * 50; i++) {
                        assertEquals(y.getFloat(i), onHeap.getFloat(i), "heap, m=" + m + ", element " + i);
                        assertEquals(y.getFloat(i), unaligned.getFloat(i), "unaligned, m=" + m + ", element " + i);
                        if (m == 9) {
                            assertEquals(expected[i], y.getFloat(i), "confined, element " + i);
                        }
                    }
                }
            }
        }
    }

    @Test
    public void noRowsIsNoWork() {
        try (Arena arena = Arena.ofShared(); Linear layer = backend().load(RandomMatrix.of(arena, new Scheme.Nvfp4(), 8, 32, 1))) {
            layer.forward(Tensor.allocate(arena, DType.F32, 0, 32), Tensor.allocate(arena, DType.F32, 0, 8));
        }
    }

    @Test
    @DisplayName("NaN and infinite weights reach y as such")
    public void nonFiniteWeightsAreNotLost() {
        try (Arena arena = Arena.ofShared()) {
            Scheme.Fp8 scheme = new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.CHANNEL);
            QuantizedMatrix q = RandomMatrix.of(arena, scheme, 20, 40, 3);
            q.codes().data().set(ValueLayout.JAVA_BYTE, 3 * 40 + 7, (byte) 0x7d);
            q.codes().data().set(ValueLayout.JAVA_BYTE, 5 * 40 + 9, (byte) 0x7c);
            QuantizedMatrix mx = RandomMatrix.of(arena, new Scheme.Mxfp4(), 20, 40, 3);
            mx.scales().data().set(ValueLayout.JAVA_BYTE, 2 * 4, (byte) 0xff);
            for (int m : new int[] {1, 7}) {
                Tensor x = Tensor.allocate(arena, DType.F32, m, 40);
                for (int i = 0; i < m * 40; i++) {
                    x.setFloat(i, 1f);
                }
                Tensor y = Tensor.allocate(arena, DType.F32, m, 20);
                try (Linear layer = backend().load(q)) {
                    layer.forward(x, y);
                }
                assertTrue(Float.isNaN(y.getFloat(3)), "m=" + m + ": a NaN code gives " + y.getFloat(3));
                assertEquals(Float.POSITIVE_INFINITY, y.getFloat(5), "m=" + m + ": an infinite code");
                assertTrue(Float.isFinite(y.getFloat(4)), "m=" + m + ": its neighbour");
                try (Linear layer = backend().load(mx)) {
                    layer.forward(x, y);
                }
                assertTrue(Float.isNaN(y.getFloat(4)), "m=" + m + ": a NaN block scale gives " + y.getFloat(4));
                assertTrue(Float.isFinite(y.getFloat(3)), "m=" + m + ": its neighbour");
            }
        }
    }

    @Test
    @DisplayName("subnormal codes and scales count")
    public void subnormalsAreNotFlushed() {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix q = RandomMatrix.of(arena, new Scheme.Mxfp4(), 16, 32, 3);
            for (int row = 0; row < 16; row++) {
                q.scales().data().set(ValueLayout.JAVA_BYTE, row, (byte) 0);
            }
            Tensor x = Tensor.allocate(arena, DType.F32, 1, 32);
            x.setFloat(5, 0x1p20f);
            Tensor y = Tensor.allocate(arena, DType.F32, 1, 16);
            try (Linear layer = backend().load(q)) {
                layer.forward(x, y);
            }
            for (int row = 0; row < 16; row++) {
                assertEquals(q.value(row, 5) * 0x1p20f, y.getFloat(row), "row " + row);
            }
        }
    }

    @Test
    public void callersMayRunAtOnce() throws Exception {
        ProductCase c = new ProductCase(new Scheme.Int4(Grouping.group(64), true), 3, 130, 200, DType.F32, DType.F32, null, 8);
        try (Arena arena = Arena.ofShared(); Linear layer = backend().load(c.weights(arena))) {
            Tensor x = c.x(arena);
            float[] expected = forward(backend(), c, arena);
            List<Callable<float[]>> calls = new ArrayList<>();
            for (int i = 0; i < 200; i++) {
                calls.add(() -> {
                    try (Arena own = Arena.ofConfined()) {
                        Tensor y = Tensor.allocate(own, DType.F32, 3, 130);
                        layer.forward(x, y);
                        return y.toFloats();
                    }
                });
            }
            for (ExecutorService executor : List.of(Executors.newVirtualThreadPerTaskExecutor(), Executors.newFixedThreadPool(4))) {
                try (executor) {
                    for (Future<float[]> result : executor.invokeAll(calls)) {
                        org.junit.jupiter.api.Assertions.assertArrayEquals(expected, result.get());
                    }
                }
            }
        }
    }

    @Test
    @DisplayName("random M, N, K (seed 4711)")
    public void anyShape() {
        SplittableRandom random = new SplittableRandom(4711);
        List<Scheme> schemes = ProductCase.schemes();
        for (int i = 0; i < 300; i++) {
            ProductCase c = new ProductCase(schemes.get(random.nextInt(schemes.size())), 1 + random.nextInt(20), 1 + random.nextInt(200),
                    1 + random.nextInt(700), DType.F32, DType.F32, null, random.nextInt(1 << 20));
            double worst = c.run(backend());
            assertTrue(worst <= 1, () -> c + ": error is " + worst + " of its bound");
        }
    }

    @Test
    public void packedWeightsStayLowBit() {
        try (Arena arena = Arena.ofShared()) {
            for (Scheme scheme : ProductCase.schemes()) {
                QuantizedMatrix q = RandomMatrix.of(arena, scheme, 512, 512, 1);
                // Odd little groups are padded to whole words; nested absmax is held decoded.
                boolean odd = scheme.label().endsWith("g5") || scheme.label().endsWith("block7x9");
                try (Linear layer = backend().load(q)) {
                    double ratio = (double) layer.bytes() / q.bytes();
                    assertTrue(ratio <= (odd ? 2.5 : 1.25), () -> q + " takes " + ratio + " of its stored size");
                    assertEquals(scheme, layer.scheme());
                }
            }
        }
    }
}
