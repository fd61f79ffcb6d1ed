package io.lowbit.backend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Errors, life cycle and allocations: the same for every backend. */
public abstract class BackendContractCases {
    /** A new backend of the kind that is tested; the test closes it. */
    protected abstract Backend open(int threads);

    protected static final Scheme SCHEME = new Scheme.Int4(Grouping.group(32), true);

    /** One scheme for each kernel. */
    public static Stream<Scheme> kernels() {
        return Stream.of(SCHEME, new Scheme.Bnb4(Scheme.Codebook.NF4, 64, false), new Scheme.Nvfp4(),
                new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL), new Scheme.Dense(DType.BF16), new Scheme.Dense(DType.F32));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("kernels")
    public void forwardAllocatesNothingOnceCompiled(Scheme scheme) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        try (Arena arena = Arena.ofShared(); Backend backend = open(1);
                Linear layer = backend.load(RandomMatrix.of(arena, scheme, 64, 128, 1))) {
            for (int m : new int[] {1, 2, 6, 11}) {
                Tensor x = Tensor.allocate(arena, DType.F32, m, 128);
                Tensor y = Tensor.allocate(arena, DType.F32, m, 64);
                // Not a time limit: the compiler works in the background and needs some calls to be asked and to answer.
                long least = Long.MAX_VALUE;
                for (int round = 0; round < 400 && least > 0; round++) {
                    long before = threads.getCurrentThreadAllocatedBytes();
                    for (int i = 0; i < 50; i++) {
                        layer.forward(x, y);
                        layer.forwardAdd(x, y);
                    }
                    least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
                }
                assertEquals(0, least, "bytes allocated by 100 calls, m=" + m);
            }
        }
    }

    @Test
    public void wrongShapesAndTypesSayWhatWasExpected() {
        try (Arena arena = Arena.ofShared(); Backend backend = open(2)) {
            QuantizedMatrix weights = RandomMatrix.of(arena, SCHEME, 48, 64, 1);
            Linear layer = backend.load(weights);
            Tensor x = Tensor.allocate(arena, DType.F32, 2, 64);
            Tensor y = Tensor.allocate(arena, DType.F32, 2, 48);
            refused("expected x [M, 64], got [2, 63]", () -> layer.forward(Tensor.allocate(arena, DType.F32, 2, 63), y));
            refused("expected x [M, 64], got [128]", () -> layer.forward(x.reshape(128), y));
            refused("expected y [M, 48], got [2, 47]", () -> layer.forward(x, Tensor.allocate(arena, DType.F32, 2, 47)));
            refused("x has 2 rows, y has 3", () -> layer.forward(x, Tensor.allocate(arena, DType.F32, 3, 48)));
            refused("expected x in F32, F16 or BF16, got F64", () -> layer.forward(Tensor.allocate(arena, DType.F64, 2, 64), y));
            refused("expected y in F32, F16 or BF16, got I32", () -> layer.forward(x, Tensor.allocate(arena, DType.I32, 2, 48)));
            Tensor both = Tensor.allocate(arena, DType.F32, 4, 64);
            refused("expected y [M, 48], got [2, 47]", () -> layer.forwardAdd(x, Tensor.allocate(arena, DType.F32, 2, 47)));
            refused("overlap", () -> layer.forward(both.rows(0, 2), new Tensor(DType.F32, y.shape(), both.data().asSlice(100, 2 * 48 * 4))));
            refused("expected F32, F16 or BF16 [48], got F32 [47]", () -> backend.load(weights, Tensor.allocate(arena, DType.F32, 47)));
            refused("got I32 [48]", () -> backend.load(weights, Tensor.allocate(arena, DType.I32, 48)));
            layer.forward(x, y);
        }
    }

    private static void refused(String part, Runnable call) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call::run);
        assertTrue(e.getMessage().contains(part), () -> "expected \"" + part + "\" in: " + e.getMessage());
        assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    }

    @Test
    public void closedThingsSaySo() {
        Arena arena = Arena.ofShared();
        Backend backend = open(2);
        QuantizedMatrix weights = RandomMatrix.of(arena, SCHEME, 48, 64, 1);
        Tensor x = Tensor.allocate(arena, DType.F32, 2, 64);
        Tensor y = Tensor.allocate(arena, DType.F32, 2, 48);
        Linear closedLayer = backend.load(weights);
        closedLayer.close();
        closedLayer.close();
        closed("layer.* is closed", () -> closedLayer.forward(x, y));

        Linear layer = backend.load(weights);
        Arena gone = Arena.ofShared();
        Tensor late = Tensor.allocate(gone, DType.F32, 2, 64);
        Tensor lateY = Tensor.allocate(gone, DType.F32, 2, 48);
        gone.close();
        closed("the arena of x is closed", () -> layer.forward(late, y));
        closed("the arena of y is closed", () -> layer.forward(x, lateY));
        layer.forward(x, y);

        backend.close();
        backend.close();
        closed("(backend|layer).* is closed", () -> layer.forward(x, y));
        closed("(backend|layer).* is closed", () -> backend.load(weights));
        arena.close();
        try (Backend other = open(1)) {
            assertThrows(IllegalStateException.class, () -> other.load(weights));
        }
    }

    private static void closed(String part, Runnable call) {
        IllegalStateException e = assertThrows(IllegalStateException.class, call::run);
        assertTrue(Pattern.compile(part).matcher(e.getMessage()).find(), () -> "expected \"" + part + "\" in: " + e.getMessage());
    }

    @Test
    public void sourceMayGoAfterLoading() {
        ProductCase c = new ProductCase(SCHEME, 2, 40, 64, DType.F32, DType.F32, DType.F16, 12);
        try (Backend backend = open(2); Arena arena = Arena.ofShared()) {
            Linear layer;
            try (Arena source = Arena.ofShared()) {
                layer = backend.load(c.weights(source), c.bias(source));
            }
            Tensor y = Tensor.allocate(arena, DType.F32, 2, 40);
            layer.forward(c.x(arena), y);
            assertTrue(ProductCase.worst(c.weights(arena), c.bias(arena), c.x(arena), y, 1) <= 1);
        }
    }
}
