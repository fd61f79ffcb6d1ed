package io.lowbit.llm;

import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.CudaLinear;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Owner;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/** Sequences in the memory of one GPU: embedding and norms beside the layers there. */
final class CudaEngine extends Owner implements Engine {
    private final CudaBackend backend;
    private final ModelParts parts;
    private final DecoderKernels kernels;
    private final Stream stream;
    private final List<DeviceMemory> memory = new ArrayList<>();
    private final long embedding;
    private final List<Layer> layers = new ArrayList<>();
    private final long norm;

    /**
     * One decoder layer on the device; norms by their address, 0 for none.
     *
     * @param queries q, k and v
     * @param gates gate and up
     * @param window how many positions a row sees
     */
    record Layer(long attentionNorm, List<CudaLinear> queries, CudaLinear o, long queryNorm, long keyNorm, long mlpNorm, List<CudaLinear> gates,
            CudaLinear down, int window) {}

    /** @param parts whose linear layers were loaded by {@code backend} */
    CudaEngine(CudaBackend backend, ModelParts parts) {
        super("the model");
        ModelConfig config = parts.config();
        if (config.headDim() > DecoderKernels.MAX_HEAD_DIM) {
            throw new ModelException("head_dim " + config.headDim() + ": on the GPU heads have at most " + DecoderKernels.MAX_HEAD_DIM
                    + " dimensions; use --backend cpu");
        }
        this.backend = backend;
        this.parts = parts;
        this.kernels = new DecoderKernels(backend.kernels(), config.headDim());
        this.stream = Stream.open(backend.context());
        boolean done = false;
        try {
            this.embedding = upload(parts.embedding());
            for (DecoderLayer l : parts.layers()) {
                layers.add(new Layer(upload(l.attentionNorm()), List.of((CudaLinear) l.q(), (CudaLinear) l.k(), (CudaLinear) l.v()),
                        (CudaLinear) l.o(), upload(l.queryNorm()), upload(l.keyNorm()), upload(l.mlpNorm()),
                        List.of((CudaLinear) l.gate(), (CudaLinear) l.up()), (CudaLinear) l.down(), l.window()));
            }
            this.norm = upload(parts.norm());
            done = true;
        } finally {
            if (!done) {
                close();
            }
        }
    }

    private long upload(RmsNorm norm) {
        if (norm == null) {
            return 0;
        }
        try (Arena arena = Arena.ofConfined()) {
            return upload(Tensor.ofFloats(arena, norm.weight(), norm.weight().length));
        }
    }

    private long upload(Tensor tensor) {
        DeviceMemory device = DeviceMemory.allocate(stream, tensor.data().byteSize());
        memory.add(device);
        stream.upload(device.address(), tensor.data(), device.bytes());
        stream.synchronize();
        return device.address();
    }

    @Override
    public Decoder open(int capacity, int maxRows) {
        acquire();
        try {
            return new CudaDecoder(this, capacity, maxRows);
        } finally {
            release();
        }
    }

    @Override
    public String activations() {
        return "bf16";
    }

    CudaBackend backend() {
        return backend;
    }

    ModelConfig config() {
        return parts.config();
    }

    DecoderKernels kernels() {
        return kernels;
    }

    /** Address of the embedding table. */
    long embedding() {
        return embedding;
    }

    DType embeddingType() {
        return parts.embedding().dtype();
    }

    Layer layer(int index) {
        return layers.get(index);
    }

    CudaLinear head() {
        return (CudaLinear) parts.head();
    }

    /** The norm after {@code layer} layers: the next layer's first, or the last one. */
    long normAfter(int layer) {
        return layer < layers.size() ? layers.get(layer).attentionNorm() : norm;
    }

    @Override
    protected void free() {
        // sessions have streams of their own, and may not be closed yet
        if (backend.context().broken() == null) {
            backend.context().synchronize();
        }
        memory.forEach(DeviceMemory::close);
        stream.close();
    }
}
