package io.lowbit.cli.selftest;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.backend.ProductCase;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.IntStream;

/** The product cases of one scheme on one backend: within the error bound, and the same bits twice. */
final class Products {
    private Products() {}

    /**
     * Cases of a quick run: a number of rows for each shape, then 16-bit activations with the rows that each kernel a GPU's
     * table may pick is for.
     */
    private static final int[] QUICK = {0, 11, 22, 33, 44, 48, 50, 53, 55};

    static GroupResult run(Backend backend, Scheme scheme, boolean quick) {
        Check check = new Check();
        double worst = 0;
        List<ProductCase> cases = ProductCase.of(scheme);
        for (int i : quick ? QUICK : IntStream.range(0, cases.size()).toArray()) {
            ProductCase product = cases.get(i);
            double part = product.run(backend);
            worst = Math.max(worst, part);
            check.holds(part <= 1, product + ": the error is " + String.format(java.util.Locale.ROOT, "%.2f", part) + " of its bound");
        }
        ProductCase last = cases.getLast();
        check.holds(repeats(backend, last), last + ": two runs give different bits");
        GroupResult result = check.result(name(backend.name(), scheme), "cases");
        return result.passed()
                ? new GroupResult(result.group(), true, result.checked(),
                        result.detail() + String.format(java.util.Locale.ROOT, ", largest error %.2f of its bound", worst))
                : result;
    }

    /** The group's name. */
    static String name(String backend, Scheme scheme) {
        return backend + " products " + (scheme instanceof Scheme.Int4 int4 && int4.scaleType() != DType.F16
                ? scheme.label() + " " + int4.scaleType() + " scales"
                : scheme.label());
    }

    private static boolean repeats(Backend backend, ProductCase product) {
        try (Arena arena = Arena.ofShared(); Linear layer = backend.load(product.weights(arena), product.bias(arena))) {
            Tensor x = product.x(arena);
            Tensor first = Tensor.allocate(arena, product.yType(), product.m(), product.n());
            Tensor second = Tensor.allocate(arena, product.yType(), product.m(), product.n());
            layer.forward(x, first);
            layer.forward(x, second);
            return first.data().mismatch(second.data()) == -1;
        }
    }
}
