package io.lowbit.checkpoint;

import io.lowbit.format.GgmlBlock;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * How GGUF stores a tensor. All types of ggml are listed, so that a file's offsets can be judged whatever it holds; what
 * Lowbit gives out is a {@link #dtype} or has a {@link #scheme}.
 */
public enum GgufType {
    F32(0, DType.F32),
    F16(1, DType.F16),
    Q4_0(2, 32, 18, new Scheme.Int4(Grouping.group(32), true)),
    Q4_1(3, GgmlBlock.Q4_1),
    Q5_0(6, GgmlBlock.Q5_0),
    Q5_1(7, GgmlBlock.Q5_1),
    Q8_0(8, GgmlBlock.Q8_0),
    Q8_1(9, 32, 36, null),
    Q2_K(10, 256, 84, null),
    Q3_K(11, 256, 110, null),
    Q4_K(12, GgmlBlock.Q4_K),
    Q5_K(13, GgmlBlock.Q5_K),
    Q6_K(14, GgmlBlock.Q6_K),
    Q8_K(15, 256, 292, null),
    IQ2_XXS(16, 256, 66, null),
    IQ2_XS(17, 256, 74, null),
    IQ3_XXS(18, 256, 98, null),
    IQ1_S(19, 256, 50, null),
    IQ4_NL(20, GgmlBlock.IQ4_NL),
    IQ3_S(21, 256, 110, null),
    IQ2_S(22, 256, 82, null),
    IQ4_XS(23, GgmlBlock.IQ4_XS),
    I8(24, DType.I8),
    I16(25, DType.I16),
    I32(26, DType.I32),
    I64(27, DType.I64),
    F64(28, DType.F64),
    IQ1_M(29, 256, 56, null),
    BF16(30, DType.BF16),
    TQ1_0(34, 256, 54, null),
    TQ2_0(35, 256, 66, null),
    MXFP4(39, 32, 17, new Scheme.Mxfp4()),
    NVFP4(40, 64, 36, new Scheme.Nvfp4());

    private static final Map<Integer, GgufType> BY_ID = new HashMap<>();

    static {
        Arrays.stream(values()).forEach(t -> BY_ID.put(t.id, t));
    }

    private final int id;
    private final int elements;
    private final int bytes;
    private final DType dtype;
    private final Scheme scheme;

    GgufType(int id, DType dtype) {
        this(id, 1, dtype.bits() / 8, dtype, null);
    }

    GgufType(int id, GgmlBlock block) {
        this(id, block.elements(), block.bytes(), null, new Scheme.Ggml(block));
    }

    GgufType(int id, int elements, int bytes, Scheme scheme) {
        this(id, elements, bytes, null, scheme);
    }

    GgufType(int id, int elements, int bytes, DType dtype, Scheme scheme) {
        this.id = id;
        this.elements = elements;
        this.bytes = bytes;
        this.dtype = dtype;
        this.scheme = scheme;
    }

    /** The number that files have. */
    public int id() {
        return id;
    }

    /** Elements of a block; 1 for plain types. */
    public int elements() {
        return elements;
    }

    /** Bytes of a block. */
    public int bytes() {
        return bytes;
    }

    /** The plain element type; null for blocks. */
    public DType dtype() {
        return dtype;
    }

    /** What a matrix of it is read as; null for plain types and those that Lowbit does not read. */
    public Scheme scheme() {
        return scheme;
    }

    /** The type of a number in a file; null where there is none. */
    static GgufType byId(int id) {
        return BY_ID.get(id);
    }

    /** The type that holds matrices of {@code scheme} as they are; null where there is none. */
    static GgufType of(Scheme scheme) {
        return Arrays.stream(values()).filter(t -> scheme.equals(t.scheme)).findFirst().orElse(null);
    }

    /** The type of plain elements; null where GGUF has none. */
    static GgufType of(DType dtype) {
        return Arrays.stream(values()).filter(t -> t.dtype == dtype).findFirst().orElse(null);
    }

    /** For people: {@code q4_k}. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
