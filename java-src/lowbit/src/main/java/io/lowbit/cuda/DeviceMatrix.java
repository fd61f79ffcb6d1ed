package io.lowbit.cuda;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Owner;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.ElementTypes;
import io.lowbit.cuda.kernels.MatrixArgument;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.SchemeKernels;
import io.lowbit.quant.NestedScales;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A quantized matrix in device memory, in its canonical layout: what {@link CudaBackend#quantize(DeviceTensor, Scheme,
 * io.lowbit.quant.QuantizeOptions)} makes. To be downloaded, or loaded as a layer without leaving the device.
 */
public final class DeviceMatrix extends Owner {
    private static final int DEQUANTIZE_THREADS = 256;

    private final CudaBackend backend;
    private final MatrixShape shape;
    private final DeviceMemory memory;

    /** Takes {@code memory}, which has the parts of {@link CanonicalLayout}; made through {@link CudaBackend#add}. */
    DeviceMatrix(CudaBackend backend, MatrixShape shape, DeviceMemory memory) {
        super("the device matrix " + shape);
        this.backend = backend;
        this.shape = shape;
        this.memory = memory;
    }

    /** Copies a matrix to the device, part by part. */
    static void upload(CudaBackend backend, QuantizedMatrix w, long to) {
        CanonicalLayout.Parts parts = CanonicalLayout.Parts.of(MatrixShape.of(w));
        Tensor[] tensors = CanonicalLayout.tensors(w);
        for (int i = 0; i < tensors.length; i++) {
            if (tensors[i] != null) {
                backend.upload(to + parts.offset(i), tensors[i].data());
            }
        }
    }

    CudaBackend backend() {
        return backend;
    }

    /** Scheme and size. */
    public MatrixShape shape() {
        return shape;
    }

    /** Where its parts lie: {@link CanonicalLayout} from there on. */
    public long address() {
        requireOpen();
        return memory.bytes() == 0 ? 0 : memory.address();
    }

    /** Device bytes. */
    public long bytes() {
        return memory.bytes();
    }

    /** The same matrix in host memory of {@code arena}. */
    public QuantizedMatrix download(Arena arena) {
        acquire();
        try {
            Scheme scheme = shape.scheme();
            long n = shape.n();
            long k = shape.k();
            return switch (scheme) {
                case Scheme.Dense s -> QuantizedMatrix.dense(part(arena, 0, s.dtype(), n, k));
                case Scheme.Int4 s -> {
                    long rows = s.grouping().scaleRows(n);
                    long cols = s.grouping().scaleCols(k);
                    yield QuantizedMatrix.int4(s, n, k, part(arena, 0, DType.U8, n, Math.ceilDiv(k, 2L)), part(arena, 1, s.scaleType(), rows, cols),
                            s.symmetric() ? null : part(arena, 2, DType.U8, rows, Math.ceilDiv(cols, 2L)),
                            shape.actOrder() ? part(arena, 5, DType.I32, k) : null);
                }
                case Scheme.Bnb4 s -> {
                    long blocks = Math.ceilDiv(n * k, (long) s.blockSize());
                    Tensor codes = part(arena, 0, DType.U8, Math.ceilDiv(n * k, 2L));
                    yield s.doubleQuant()
                            ? QuantizedMatrix.bnb4(s, n, k, codes, new NestedScales(part(arena, 3, DType.U8, blocks),
                                    part(arena, 4, DType.F32, Math.ceilDiv(blocks, (long) NestedScales.BLOCK)), part(arena, 5, DType.F32, 256),
                                    shape.nestedOffset()))
                            : QuantizedMatrix.bnb4(s, n, k, codes, part(arena, 1, DType.F32, blocks));
                }
                case Scheme.Mxfp4 _ -> QuantizedMatrix.mxfp4(n, k, part(arena, 0, DType.U8, n, Math.ceilDiv(k, 2L)),
                        part(arena, 1, DType.F8_E8M0, n, Math.ceilDiv(k, (long) Scheme.Mxfp4.BLOCK)));
                case Scheme.Mxfp8 s -> QuantizedMatrix.mxfp8(s, n, k, part(arena, 0, s.format().dtype(), n, k),
                        part(arena, 1, DType.F8_E8M0, n, Math.ceilDiv(k, (long) Scheme.Mxfp8.BLOCK)));
                case Scheme.Nvfp4 _ -> {
                    Tensor codes = part(arena, 0, DType.U8, n, Math.ceilDiv(k, 2L));
                    Tensor scales = part(arena, 1, DType.F8_E4M3, n, Math.ceilDiv(k, (long) Scheme.Nvfp4.BLOCK));
                    yield shape.divided() ? QuantizedMatrix.nvfp4Divided(n, k, codes, scales, shape.tensorScale())
                            : QuantizedMatrix.nvfp4(n, k, codes, scales, shape.tensorScale());
                }
                case Scheme.Fp8 s -> QuantizedMatrix.fp8(s, n, k,
                        part(arena, 0, s.format().dtype(), n, k),
                        part(arena, 1, DType.F32, s.grouping().scaleRows(n), s.grouping().scaleCols(k)));
                case Scheme.Int8 _ -> QuantizedMatrix.int8(n, k, part(arena, 0, DType.I8, n, k), part(arena, 1, DType.F32, n, 1));
                case Scheme.Ggml s -> QuantizedMatrix.ggml(s, n, k,
                        part(arena, 0, DType.U8, n, k / s.block().elements() * s.block().bytes()));
            };
        } finally {
            release();
        }
    }

    private Tensor part(Arena arena, int index, DType type, long... dims) {
        Tensor tensor = Tensor.allocate(arena, type, dims);
        if (tensor.data().byteSize() > 0) {
            long from = memory.address() + CanonicalLayout.Parts.of(shape).offset(index);
            backend.onLane(lane -> lane.stream().download(tensor.data(), from, tensor.data().byteSize()));
        }
        return tensor;
    }

    /**
     * The weights as floats: for F32 the bits of {@link QuantizedMatrix#value}. Returns when they are there.
     *
     * @param out {@code [N, K]}, overwritten; no stream reads or writes it meanwhile
     */
    public void dequantize(DeviceTensor out) {
        acquire();
        try (Arena arena = Arena.ofShared()) {
            if (!out.shape().equals(Shape.of(shape.n(), shape.k()))) {
                throw new IllegalArgumentException(shape + ": expected out [" + shape.n() + ", " + shape.k() + "], got " + out.shape());
            }
            if (out.bytes() > 0) {
                MemorySegment matrix = arena.allocate(MatrixArgument.BYTES, 8);
                CanonicalLayout.INSTANCE.describe(shape, memory.address(), matrix);
                Function function = backend.kernels().function(SchemeKernels.file("dequantize", shape.scheme()),
                        "dequantize_" + SchemeKernels.suffix(shape.scheme()));
                backend.onLane(lane -> {
                    lane.stream().arguments().struct(matrix).int64(out.address()).int32(ElementTypes.of(out.dtype()));
                    lane.stream().launch(function, Math.clamp(Math.ceilDiv(shape.n() * shape.k(), 256L), 1, 1 << 20), 1, DEQUANTIZE_THREADS, 0);
                });
            }
        } finally {
            release();
        }
    }

    @Override
    protected void free() {
        try {
            memory.close();
        } finally {
            backend.forget(this);
        }
    }
}
