package io.lowbit.cuda;

import io.lowbit.backend.OddMatrices;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.cuda.kernels.WeightLayout;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Forces every kernel of the catalogue over every scheme it takes, in one process: a program for compute-sanitizer. Rows
 * beyond a tile, K beyond every ring of stages, N and K that no tile divides. The first and the last row of each product are
 * compared with the product in double precision.
 *
 * <p>Arguments: {@code quick}, two products of each kernel and scheme: few rows of x with long rows of W, and many with short
 * ones. {@code fast}, without the exact kernels that read any layout, which {@code lowbit selftest} runs over the same schemes
 * and racecheck makes slow. {@code products}, without what quantizes weights and activations on the device, whose modules racecheck would
 * work through in every process. {@code times}, a line with the seconds since the start for each kernel and matrix. So that several
 * processes share the work, names of layouts ({@code records}) and architectures ({@code SM90}): those alone; {@code kernels=REGEX},
 * {@code schemes=REGEX}: kernels whose whole name, schemes whose whole label matches, with the type of INT4's scales where it is not
 * F16 ({@code int4 sym g128 bf16}). What does not match is not loaded either.
 */
final class KernelSweep {
    private static final DType[] TYPES = {DType.BF16, DType.F32, DType.F16};
    private static final long[] ODD = {67, 131};

    /** {@code [N, K]}: long rows, the same for nested scales, which need whole records; several tiles of columns; what suits no tile. */
    private static final long[][] SHAPES = {{72, 4160}, {72, 4224}, {200, 384}, ODD};

    /** Enough records for blocks of 16 warps of the kernels for a few rows: for these alone, INT4 in groups with F16 scales and codebooks in blocks of 64. */
    private static final long[] LARGE = {4288, 6144};
    private static final String FEW_ROWS = "decode";

    /** Once more with act-order. */
    private static final List<Scheme.Int4> ACT_ORDER = List.of(new Scheme.Int4(Grouping.group(128), true), new Scheme.Int4(Grouping.group(32), false));

    private static final int MOST_ROWS = 512;
    private static final String KERNELS = "kernels=";
    private static final String SCHEMES = "schemes=";
    private static final String PART = "part=";

    private final boolean quick;
    private final boolean fast;
    private final boolean productsAlone;
    private final boolean times;
    private final Pattern names;
    private final Pattern labels;
    private final int part;
    private final int parts;
    private final long start = System.nanoTime();
    private final Map<String, Tensor> activations = new HashMap<>();
    private final Map<String, Integer> products = new LinkedHashMap<>();
    /** Types come in turn: of a kernel's products one after the other, so that each has them all, beginning elsewhere with each scheme. */
    private final Map<ProductKernel, Integer> turns = new HashMap<>();
    private int turn;
    private int met;

    private KernelSweep(List<String> words) {
        this.quick = words.contains("quick");
        this.fast = words.contains("fast");
        this.productsAlone = words.contains("products");
        this.times = words.contains("times");
        this.names = Pattern.compile(value(words, KERNELS, ".*"));
        this.labels = Pattern.compile(value(words, SCHEMES, ".*"));
        String[] numbers = value(words, PART, "1/1").split("/");
        this.part = Integer.parseInt(numbers[0]) - 1;
        this.parts = Integer.parseInt(numbers[1]);
    }

    public static void main(String[] args) {
        List<String> words = List.of(args);
        KernelSweep sweep = new KernelSweep(words);
        List<Architecture> architectures = Gpu.architectures().filter(architecture -> words.contains(architecture.name())).toList();
        List<String> layouts = Catalogue.layouts().stream().map(WeightLayout::name).filter(words::contains).toList();
        for (Architecture architecture : architectures.isEmpty() ? Gpu.architectures().toList() : architectures) {
            for (LayoutChoice choice : LayoutChoice.all(architecture, sweep::wants)) {
                if (layouts.isEmpty() || layouts.contains(choice.layout().name())) {
                    sweep.products(architecture, choice);
                }
            }
            if (!sweep.productsAlone) {
                sweep.quantize(architecture);
                sweep.fused(architecture);
            }
        }
        System.out.println(sweep.products.values().stream().mapToInt(i -> i).sum() + " products swept, all within the bound");
    }

    private static String value(List<String> words, String name, String otherwise) {
        return words.stream().filter(word -> word.startsWith(name)).map(word -> word.substring(name.length())).findFirst().orElse(otherwise);
    }

    private boolean wants(ProductKernel kernel) {
        return names.matcher(kernel.name()).matches() && (!fast || kernel.layout(MatrixShape.plain(Schemes.ALL.getFirst(), 64, 64)) != null);
    }

    private boolean wants(Scheme scheme) {
        return labels.matcher(name(scheme)).matches();
    }

    /** The label, and the type of INT4's scales where it is not the usual one. */
    static String name(Scheme scheme) {
        return scheme.label() + (scheme instanceof Scheme.Int4 s && s.scaleType() != DType.F16 ? " " + s.scaleType().name().toLowerCase(Locale.ROOT) : "");
    }

    private void products(Architecture architecture, LayoutChoice choice) {
        try (CudaBackend backend = CudaBackend.open(0, architecture, choice.choice())) {
            Schemes.ALL.stream().filter(this::wants).forEach(scheme -> products(architecture, choice, backend, scheme, false));
            ACT_ORDER.stream().filter(this::wants).forEach(scheme -> products(architecture, choice, backend, scheme, true));
        }
        for (ProductKernel kernel : choice.kernels()) {
            String key = key(architecture, choice, kernel);
            int count = products.getOrDefault(key, 0);
            if (count == 0 && parts == 1 && Schemes.ALL.stream().allMatch(this::wants)) {
                throw new AssertionError(key + ": takes no matrix of the sweep: add one");
            }
            System.out.println(key + ": " + count + " products");
        }
    }

    private void products(Architecture architecture, LayoutChoice choice, CudaBackend backend, Scheme scheme, boolean actOrder) {
        turn++;
        boolean longRows = false;
        for (long[] shape : SHAPES) {
            boolean isLong = shape[1] > 1000;
            if (!quick || !(isLong && longRows || shape == ODD)) {
                longRows |= products(architecture, choice, backend, scheme, actOrder, shape, choice.kernels()) && isLong;
            }
        }
        List<ProductKernel> fewRows = choice.kernels().stream().filter(kernel -> kernel.name().endsWith(FEW_ROWS)).toList();
        boolean many = switch (scheme) {
            case Scheme.Int4 s -> s.scaleType() == DType.F16 && s.grouping() instanceof Grouping.PerGroup g && g.size() >= 32;
            case Scheme.Bnb4 s -> s.blockSize() == 64;
            default -> false;
        };
        if (!fewRows.isEmpty() && !actOrder && many) {
            products(architecture, choice, backend, scheme, false, LARGE, fewRows);
        }
    }

    /** False where the matrix does not lie in the layout. */
    private boolean products(Architecture architecture, LayoutChoice choice, CudaBackend backend, Scheme scheme, boolean actOrder, long[] shape,
            List<ProductKernel> kernels) {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = actOrder ? OddMatrices.actOrder(arena, (Scheme.Int4) scheme, shape[0], (int) shape[1], true)
                    : Schemes.quantized(arena, scheme, shape[0], shape[1], 1);
            Tensor bias = Schemes.normal(arena, DType.F32, 2, 1, shape[0]);
            try (CudaLinear layer = backend.load(w, bias)) {
                if (layer.layout() != choice.layout()) {
                    return false;
                }
                double[][] weights = Products.weights(w);
                time("loaded", w);
                for (ProductKernel kernel : kernels) {
                    int[] rows = choice.rows(kernel);
                    for (int i = 0; i < rows.length; i++) {
                        if ((!quick || i == (shape[1] > 1000 ? 0 : rows.length - 1)) && (shape != LARGE || i == 0) && met++ % parts == part) {
                            int count = product(kernel, layer, w, weights, bias, rows[i]);
                            if (shape == LARGE && count == 1) {
                                count += product(kernel, layer, w, weights, bias, rows[i]);  // the other type of x
                            }
                            products.merge(key(architecture, choice, kernel), count, Integer::sum);
                            if (count > 0) {
                                time(kernel.name() + " M=" + rows[i] + " x " + count, w);
                            }
                        }
                    }
                }
                if (!productsAlone && shape != LARGE) {
                    layer.dequantize(Tensor.allocate(arena, TYPES[turn % TYPES.length], shape[0], shape[1]));
                }
                return true;
            }
        }
    }

    private void time(String what, QuantizedMatrix w) {
        if (times) {
            System.out.printf(Locale.ROOT, "%6.2f s %s %s%n", (System.nanoTime() - start) / 1e9, w, what);
        }
    }

    private static String key(Architecture architecture, LayoutChoice choice, ProductKernel kernel) {
        return architecture + " " + kernel.name() + ", " + choice;
    }

    /** One product with activations as they come and one with each quantization of them, where the kernel takes it; how many. */
    private int product(ProductKernel kernel, CudaLinear layer, QuantizedMatrix w, double[][] weights, Tensor bias, int m) {
        int count = 0;
        for (int s = -1; s < ActivationScaling.values().length; s++) {
            ActivationScaling scaling = s < 0 ? null : ActivationScaling.values()[s];
            DType xType = type(kernel, w, scaling);
            if (xType == null) {
                continue;
            }
            int turn = turn(kernel);
            DType yType = TYPES[turn / 2 % TYPES.length];
            try (Arena arena = Arena.ofShared()) {
                Tensor x = x(xType, w.k()).rows(0, m);
                Tensor y = Tensor.allocate(arena, yType, m, w.n());
                String what = kernel.name() + " " + w + " M=" + m + " x " + xType + " y " + yType + (scaling == null ? "" : " scaled per " + scaling);
                ProductKernel used = scaling == null ? layer.kernel(m, xType, yType) : layer.kernel(m, xType, yType, scaling, kernel.accumulation());
                if (used != kernel) {
                    throw new AssertionError(what + ": made by " + used.name());
                }
                if (scaling == null && turn % 2 == 0) {
                    layer.forwardAdd(x, y);  // to zeros
                } else if (scaling == null) {
                    layer.forward(x, y);
                } else {
                    layer.forwardQuantized(x, y, scaling, kernel.accumulation());
                }
                // The first row has the largest element: these two alone have the scales that they have among all.
                Tensor ends = Tensor.allocate(arena, xType, 2, w.k());
                ends.rows(0, 1).data().copyFrom(x.rows(0, 1).data());
                ends.rows(1, 2).data().copyFrom(x.rows(m - 1, m).data());
                double[][] rows = scaling == null ? Products.rows(ends) : W8a8GpuTest.quantized(ends, scaling);
                for (int i = 0; i < 2; i++) {
                    int row = i * (m - 1);
                    Products.check(what + " row " + row, weights, new double[][] {rows[i]}, bias, y.rows(row, row + 1),
                            kernel.operandRounding(w.scheme(), xType));
                }
            }
            count++;
        }
        return count;
    }

    /** As many rows as any kernel gets. */
    private Tensor x(DType type, long k) {
        return activations.computeIfAbsent(type + " " + k, _ -> {
            Tensor x = Schemes.normal(Arena.global(), type, 3, 1, MOST_ROWS, k);
            x.setFloat(0, 20);
            return x;
        });
    }

    /** A type of x that the kernel takes, in turn; null where it takes none. */
    private DType type(ProductKernel kernel, QuantizedMatrix w, ActivationScaling scaling) {
        for (int i = 0; i < TYPES.length; i++) {
            turns.merge(kernel, 1, Integer::sum);
            DType type = TYPES[turn(kernel) % TYPES.length];
            if (kernel.supports(MatrixShape.of(w), type, TYPES[turn(kernel) / 2 % TYPES.length], scaling)) {
                return type;
            }
        }
        return null;
    }

    private int turn(ProductKernel kernel) {
        return turn + turns.getOrDefault(kernel, 0);
    }

    private void quantize(Architecture architecture) {
        try (CudaBackend backend = CudaBackend.open(0, architecture, KernelChoice.byTable())) {
            for (Scheme scheme : Schemes.ALL) {
                for (DType type : quick ? new DType[] {TYPES[turn++ % TYPES.length]} : TYPES) {
                    try (Arena arena = Arena.ofShared()) {
                        backend.quantize(Schemes.normal(arena, type, 4, 1, ODD), scheme, QuantizeOptions.DEFAULT, arena);
                    }
                }
            }
        }
    }

    /** The step before a layer and the quantization of its result, with the result kept and not: rows that a block holds and longer ones. */
    private void fused(Architecture architecture) {
        try (CudaBackend backend = CudaBackend.open(0, architecture, KernelChoice.byTable())) {
            for (long[] shape : new long[][] {ODD, {2, 16640}}) {
                long m = shape[0];
                long k = shape[1];
                try (Arena arena = Arena.ofShared();
                        CudaLinear layer = backend.load(Schemes.quantized(arena, new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR), 8, k, 1));
                        Stream stream = Stream.open(backend.context());
                        DeviceMemory x = backend.context().allocate(4 * m * k);
                        DeviceMemory up = backend.context().allocate(4 * m * k);
                        DeviceMemory kept = backend.context().allocate(4 * m * k);
                        DeviceMemory codes = backend.context().allocate(layer.workspaceBytes(m))) {
                    for (ActivationScaling scaling : ActivationScaling.values()) {
                        if (scaling.tensor() || scaling.mx() || scaling == ActivationScaling.ROW_INT4) {
                            continue;
                        }
                        DType type = TYPES[turn++ % TYPES.length];
                        DeviceTensor gate = DeviceTensor.of(x, type, m, k);
                        DeviceTensor values = turn / 3 % 2 == 0 ? null : DeviceTensor.of(kept, DType.F32, m, k);
                        for (DeviceMemory memory : new DeviceMemory[] {x, up}) {
                            MemorySegment from = Schemes.normal(arena, type, 5, 1, m, k).data();
                            stream.upload(memory.address(), from, from.byteSize());
                        }
                        layer.activations().quantizeNormed(stream, gate, DeviceTensor.of(up, type, k), 1e-5f, scaling, codes, values);
                        layer.activations().quantizeGated(stream, gate, DeviceTensor.of(up, type, m, k), scaling, codes, values);
                        stream.synchronize();
                    }
                }
            }
        }
    }
}
