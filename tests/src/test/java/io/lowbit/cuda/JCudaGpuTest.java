package io.lowbit.cuda;

import static io.lowbit.cuda.JCudaKernel.check;
import static io.lowbit.cuda.JCudaKernel.int32;
import static io.lowbit.cuda.JCudaKernel.int64;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.ElementTypes;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.Kernels;
import io.lowbit.cuda.kernels.MatrixArgument;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.SchemeKernels;
import io.lowbit.jcuda.JCudaInterop;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Lowbit and JCuda on one GPU: their memory and streams as ours, ours as theirs, and the same kernels through either. */
@Tag("gpu")
class JCudaGpuTest {
    private static final int K = 300;
    private static final int N = 130;

    private static Tensor download(Arena arena, CUdeviceptr from, DType type, long... dims) {
        Tensor t = Tensor.allocate(arena, type, dims);
        check(JCudaDriver.cuMemcpyDtoH(Pointer.to(t.data().asByteBuffer()), from, t.data().byteSize()));
        return t;
    }

    private static CUdeviceptr upload(MemorySegment from) {
        CUdeviceptr to = new CUdeviceptr();
        check(JCudaDriver.cuMemAlloc(to, from.byteSize()));
        check(JCudaDriver.cuMemcpyHtoD(to, Pointer.to(from.asByteBuffer()), from.byteSize()));
        return to;
    }

    /** What a program does that starts with JCuda and adds Lowbit to it: its own context set-up, memory and stream. */
    @Test
    void aLayerRunsOnJCudasMemoryAndStream() {
        Gpu.require();
        JCudaDriver.cuInit(0);
        CUdevice device = new CUdevice();
        check(JCudaDriver.cuDeviceGet(device, 0));
        CUcontext context = new CUcontext();
        check(JCudaDriver.cuDevicePrimaryCtxRetain(context, device));
        check(JCudaDriver.cuCtxPushCurrent(context));
        try (CudaBackend backend = CudaBackend.open(0); Arena arena = Arena.ofConfined()) {
            assertEquals(context, JCudaInterop.context(backend.context()), "one context for both");
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Int4(Grouping.group(128), true), N, K, 1);
            Tensor hx = Schemes.normal(arena, DType.BF16, 2, 1, 7, K);
            Tensor expected = Tensor.allocate(arena, DType.F32, 7, N);
            CUdeviceptr x = upload(hx.data());
            CUdeviceptr block = new CUdeviceptr();
            check(JCudaDriver.cuMemAlloc(block, 1024 + expected.data().byteSize()));
            // With a byte offset, as programs that keep several tensors in one allocation have it.
            CUdeviceptr y = block.withByteOffset(1024);
            CUstream theirs = new CUstream();
            check(JCudaDriver.cuStreamCreate(theirs, CUstream_flags.CU_STREAM_NON_BLOCKING));
            try (CudaLinear layer = backend.load(w); Stream stream = JCudaInterop.stream(backend.context(), theirs)) {
                layer.forward(hx, expected);
                layer.forward(stream, JCudaInterop.tensor(x, DType.BF16, 7, K), JCudaInterop.tensor(y, DType.F32, 7, N));
                check(JCudaDriver.cuStreamSynchronize(theirs));
                assertEquals(-1, download(arena, y, DType.F32, 7, N).data().mismatch(expected.data()));
            }
            // The stream is still theirs.
            check(JCudaDriver.cuStreamQuery(theirs));
            check(JCudaDriver.cuStreamDestroy(theirs));
            check(JCudaDriver.cuMemFree(x));
            check(JCudaDriver.cuMemFree(block));
        } finally {
            check(JCudaDriver.cuCtxPopCurrent(new CUcontext()));
            check(JCudaDriver.cuDevicePrimaryCtxRelease(device));
        }
    }

    /** The other way: memory and a stream of Lowbit's in JCuda's calls. */
    @Test
    void jcudaWorksOnOurMemoryAndStream() {
        Gpu.require();
        try (Context context = Context.open(0); Stream stream = Stream.open(context); Arena arena = Arena.ofShared();
                DeviceMemory memory = DeviceMemory.allocate(stream, 4096)) {
            CUstream theirs = JCudaInterop.stream(stream);
            CUdeviceptr pointer = JCudaInterop.pointer(memory);
            assertEquals(memory.address(), JCudaInterop.address(pointer));
            MemorySegment bytes = Schemes.normal(arena, DType.F32, 3, 1, 1024).data();
            MemorySegment back = arena.allocate(4096);
            context.bound(() -> {
                check(JCudaDriver.cuMemcpyHtoDAsync(pointer, Pointer.to(bytes.asByteBuffer()), 4096, theirs));
                check(JCudaDriver.cuStreamSynchronize(theirs));
            });
            stream.download(back, memory.address(), 4096);
            stream.synchronize();
            assertEquals(-1, back.mismatch(bytes));
            // And there and back again it is the same stream.
            try (Stream same = JCudaInterop.stream(context, theirs)) {
                assertEquals(stream.handle(), same.handle());
            }
        }
    }

    @Test
    void aStreamOfAnotherContextIsRefused() {
        Gpu.require();
        CUdevice device = new CUdevice();
        CUcontext other = new CUcontext();
        CUstream stream = new CUstream();
        try (Context context = Context.open(0)) {
            check(JCudaDriver.cuDeviceGet(device, 0));
            check(JCudaDriver.cuCtxCreate(other, 0, device));
            try {
                check(JCudaDriver.cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING));
                IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> JCudaInterop.stream(context, stream));
                assertTrue(e.getMessage().contains("cuDevicePrimaryCtxRetain"), e.getMessage());
            } finally {
                check(JCudaDriver.cuCtxDestroy(other));
            }
        }
    }

    static List<Scheme> witnessed() {
        return List.of(new Scheme.Dense(DType.BF16), new Scheme.Int4(Grouping.group(128), true), new Scheme.Int4(Grouping.group(32), false),
                new Scheme.Bnb4(Scheme.Codebook.NF4, 64, true), new Scheme.Bnb4(Scheme.Codebook.FP4, 64, false), new Scheme.Mxfp4(), new Scheme.Nvfp4(),
                new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL), new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.block(128, 128)));
    }

    /**
     * The independent witness: JCuda allocates, uploads, loads the PTX that lies in the jar and launches it; Lowbit's own
     * driver layer must give the same bytes.
     */
    @ParameterizedTest
    @MethodSource("witnessed")
    void theSamePtxThroughJCudaGivesTheSameBytes(Scheme scheme) {
        Gpu.require();
        Gpu.architectures().forEach(architecture -> {
            witness(scheme, architecture, "gemv", 5, 4, 8);
            witness(scheme, architecture, "linear", 70, 64, 64);
        });
    }

    private static void witness(Scheme scheme, Architecture architecture, String kernel, int m, int columns, int rows) {
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.always(kernel)); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, scheme, N, K, 4);
            Tensor hx = Schemes.normal(arena, DType.BF16, 5, 1, m, K);
            Tensor ours = Tensor.allocate(arena, DType.F32, m, N);
            try (CudaLinear layer = backend.load(w)) {
                layer.forward(hx, ours);
            }
            backend.context().bound(() -> {
                MatrixShape shape = MatrixShape.of(w);
                MemorySegment packed = arena.allocate(CanonicalLayout.INSTANCE.bytes(shape), 64);
                CanonicalLayout.INSTANCE.pack(w, packed);
                CUdeviceptr weights = upload(packed);
                CUdeviceptr x = upload(hx.data());
                CUdeviceptr y = upload(arena.allocate(ours.data().byteSize()));
                MemorySegment matrix = arena.allocate(MatrixArgument.BYTES, 8);
                CanonicalLayout.INSTANCE.describe(shape, JCudaInterop.address(weights), matrix);
                String name = architecture.prefix() + "_" + kernel + "_" + CanonicalLayout.INSTANCE.suffix(scheme);
                try (JCudaKernel theirs = new JCudaKernel(Kernels.resource(SchemeKernels.file(kernel, scheme), architecture), name)) {
                    // The last argument is linear's; gemv reads none there.
                    Pointer arguments = JCudaKernel.arguments(JCudaKernel.struct(matrix), Pointer.to(x), int32(ElementTypes.of(DType.BF16)),
                            Pointer.to(y), int32(ElementTypes.of(DType.F32)), int64(0), int32(0), int64(m), int32(SchemeKernels.weightPieces(scheme)));
                    theirs.launch(null, Math.ceilDiv(N, columns), Math.ceilDiv(m, rows), 128, arguments);
                    check(JCudaDriver.cuCtxSynchronize());
                    Tensor got = download(arena, y, DType.F32, m, N);
                    assertEquals(-1, got.data().mismatch(ours.data()), scheme.label() + " " + name);
                } finally {
                    check(JCudaDriver.cuMemFree(weights));
                    check(JCudaDriver.cuMemFree(x));
                    check(JCudaDriver.cuMemFree(y));
                }
            });
        }
    }
}
