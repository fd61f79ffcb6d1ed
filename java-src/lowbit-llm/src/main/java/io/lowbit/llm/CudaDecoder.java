package io.lowbit.llm;

import io.lowbit.cuda.CudaLinear;
import io.lowbit.cuda.DeviceTensor;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Event;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.PinnedMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * Decodes in device memory: activations BF16, the residual stream F32, and nothing but tokens and logits crosses the bus.
 *
 * <p>A step of one token, from its number to its logits in host memory, is captured once as a CUDA graph and replayed for
 * every token after, layers that read the same input as branches that may run at once; {@code -Dlowbit.llm.graph=false}
 * launches its kernels one by one instead, to compare.
 */
final class CudaDecoder implements Decoder {
    /** System property that switches the graph off. */
    static final String GRAPH = "lowbit.llm.graph";

    private final CudaEngine engine;
    private final ModelConfig config;
    private final DecoderKernels kernels;
    private final int capacity;
    private final int maxRows;
    private final Stream stream;
    private final List<DeviceMemory> memory = new ArrayList<>();
    private final List<PinnedMemory> pinned = new ArrayList<>();
    /** Streams of a graph's branches, and the events that part them from the stream and join them to it. */
    private final Stream[] branches = new Stream[2];
    private final Event[] joins = new Event[branches.length];
    private final Event fork;
    private final boolean graphs = !"false".equals(System.getProperty(GRAPH));

    /** I32: the position of the pass's first row, then its tokens. */
    private final long inputs;
    private final MemorySegment hostInputs;
    private final long residual;
    private final long logits;
    private final MemorySegment hostLogits;
    private final long cosines;
    private final long sines;
    private final long[] keys;
    private final long[] values;
    private final Rows all;
    private final Rows one;
    /** Null before the second step. */
    private Graph step;
    private boolean stepped;
    /** What is enqueued now is captured: independent layers become branches. */
    private boolean branching;
    /** Rows of the last pass. */
    private Rows pass;
    /** The last pass was a step: its logits are on their way to host memory. */
    private boolean lastWasStep;

    /**
     * What a pass writes and reads between layers, row-major and but for the residual stream BF16.
     *
     * @param residual F32
     * @param queries q, k and v
     * @param gates gate and up
     */
    private record Rows(int count, DeviceTensor residual, DeviceTensor normed, List<DeviceTensor> queries, DeviceTensor attended,
            List<DeviceTensor> gates) {
        Rows first(int count) {
            return new Rows(count, part(residual, 0, count), part(normed, 0, count), parts(queries, count), part(attended, 0, count),
                    parts(gates, count));
        }

        private static List<DeviceTensor> parts(List<DeviceTensor> tensors, int count) {
            return tensors.stream().map(t -> part(t, 0, count)).toList();
        }

        long q() {
            return queries.get(0).address();
        }

        long k() {
            return queries.get(1).address();
        }

        long v() {
            return queries.get(2).address();
        }

        DeviceTensor gate() {
            return gates.get(0);
        }

        DeviceTensor up() {
            return gates.get(1);
        }
    }

    CudaDecoder(CudaEngine engine, int capacity, int maxRows) {
        this.engine = engine;
        this.config = engine.config();
        this.kernels = engine.kernels();
        this.capacity = capacity;
        this.maxRows = maxRows;
        this.stream = Stream.open(engine.backend().context());
        boolean done = false;
        try {
            fork = Event.open(stream.context());
            for (int i = 0; i < branches.length; i++) {
                branches[i] = Stream.open(stream.context());
                joins[i] = Event.open(stream.context());
            }
            int logitRows = Math.min(maxRows, Session.MAX_LOGIT_ROWS);
            long logitBytes = 4L * logitRows * config.vocabSize();
            hostInputs = pin(4L * (1 + maxRows));
            hostLogits = pin(logitBytes);
            inputs = reserve(4L * (1 + maxRows));
            logits = reserve(logitBytes);
            residual = reserve(4L * maxRows * config.hiddenSize());
            keys = new long[config.layers()];
            values = new long[config.layers()];
            int stride = DecoderKernels.cacheStride(config.headDim());
            long cacheBytes = 2L * config.kvHeads() * capacity * stride;
            for (int i = 0; i < keys.length; i++) {
                keys[i] = reserve(cacheBytes);
                values[i] = reserve(cacheBytes);
                if (stride > config.headDim()) {
                    stream.fill(keys[i], (byte) 0, cacheBytes);
                    stream.fill(values[i], (byte) 0, cacheBytes);
                }
            }
            // after the caches: what is too large for the device is refused before the host works on it
            RotaryEmbedding rotary = new RotaryEmbedding(config.headDim(), config.ropeTheta(), config.ropeScaling());
            rotary.prepare(capacity);
            cosines = upload(rotary.cosines());
            sines = upload(rotary.sines());
            int queries = config.heads() * config.headDim();
            int cached = config.kvHeads() * config.headDim();
            DeviceTensor hidden = new DeviceTensor(DType.F32, Shape.of(maxRows, config.hiddenSize()), residual);
            all = new Rows(maxRows, hidden, rows(config.hiddenSize()), List.of(rows(queries), rows(cached), rows(cached)), rows(queries),
                    List.of(rows(config.intermediateSize()), rows(config.intermediateSize())));
            one = all.first(1);
            pass = one;
            done = true;
        } finally {
            if (!done) {
                close();
            }
        }
    }

    private MemorySegment pin(long bytes) {
        PinnedMemory host = PinnedMemory.allocate(engine.backend().context(), bytes);
        pinned.add(host);
        return host.segment();
    }

    private long reserve(long bytes) {
        DeviceMemory device = DeviceMemory.allocate(stream, bytes);
        memory.add(device);
        return device.address();
    }

    private long upload(float[] table) {
        long to = reserve(4L * table.length);
        copyIn(to, table, table.length);
        return to;
    }

    private DeviceTensor rows(int width) {
        return new DeviceTensor(DType.BF16, Shape.of(maxRows, width), reserve(2L * maxRows * width));
    }

    private static DeviceTensor part(DeviceTensor t, int from, int count) {
        long width = t.shape().dim(1);
        return new DeviceTensor(t.dtype(), Shape.of(count, width), t.address() + t.dtype().byteSize(from * width));
    }

    @Override
    public void pass(int[] tokens, int from, int rows, int position, int layers) {
        engine.acquire();
        try {
            begin(rows, position);
            for (int r = 0; r < rows; r++) {
                hostInputs.setAtIndex(ValueLayout.JAVA_INT, 1 + r, tokens[from + r]);
            }
            lastWasStep = rows == 1 && layers == config.layers();
            if (lastWasStep) {
                step();
            } else {
                enqueue(layers);
            }
        } finally {
            engine.release();
        }
    }

    /** Waits until the copies of the pass before have read the inputs. */
    private void begin(int rows, int position) {
        stream.synchronize();
        pass = rows == 1 ? one : rows == pass.count ? pass : rows == maxRows ? all : all.first(rows);
        hostInputs.setAtIndex(ValueLayout.JAVA_INT, 0, position);
    }

    /** The first step runs as it is, so that every kernel is loaded when the second captures it. */
    private void step() {
        if (step == null && stepped && graphs) {
            branching = true;
            try {
                step = Graph.capture(stream, this::enqueueStep);
            } finally {
                branching = false;
            }
        }
        if (step != null) {
            step.launch(stream);
        } else {
            enqueueStep();
            stepped = true;
        }
    }

    private void enqueueStep() {
        enqueue(config.layers());
        enqueueLogits(0, 1);
    }

    private void enqueue(int layers) {
        uploadInputs();
        kernels.embed(stream, pass.count, inputs + 4, engine.embedding(), engine.embeddingType(), residual, config.hiddenSize());
        normalize(engine.normAfter(0));
        for (int i = 0; i < layers; i++) {
            layer(i);
        }
    }

    private void uploadInputs() {
        stream.upload(inputs, hostInputs, 4L * (1 + pass.count));
    }

    /** normed = norm(residual). */
    private void normalize(long norm) {
        kernels.norm(stream, pass.count, residual, norm, config.normEpsilon(), pass.normed.address(), config.hiddenSize());
    }

    /** One layer, from its normed input to its output in the residual stream and the norm of that. */
    private void layer(int index) {
        CudaEngine.Layer layer = engine.layer(index);
        DecoderKernels.Heads heads = new DecoderKernels.Heads(config.heads(), config.kvHeads(), config.headDim(), keys[index], values[index],
                capacity, layer.window());
        forward(layer.queries(), pass.queries());
        kernels.rotate(stream, pass.count, pass.q(), pass.k(), pass.v(), layer.queryNorm(), layer.keyNorm(),
                config.normEpsilon(), cosines, sines, inputs, heads);
        kernels.attend(stream, pass.count, pass.q(), pass.attended.address(), inputs, heads);
        layer.o().forwardAdd(stream, pass.attended, pass.residual);
        normalize(layer.mlpNorm());
        forward(layer.gates(), pass.gates());
        kernels.swiGlu(stream, pass.gate().address(), pass.up().address(), (long) pass.count * config.intermediateSize());
        layer.down().forwardAdd(stream, pass.gate(), pass.residual);
        normalize(engine.normAfter(index + 1));
    }

    /** Layers that read the normed input: one after another, or as branches of a graph. */
    private void forward(List<CudaLinear> layers, List<DeviceTensor> outputs) {
        if (branching) {
            fork.record(stream);
        }
        for (int i = 0; i < layers.size(); i++) {
            Stream on = branching && i > 0 ? branches[i - 1] : stream;
            if (on != stream) {
                on.await(fork);
            }
            layers.get(i).forward(on, pass.normed, outputs.get(i));
            if (on != stream) {
                joins[i - 1].record(on);
            }
        }
        for (int i = 1; branching && i < layers.size(); i++) {
            stream.await(joins[i - 1]);
        }
    }

    private void enqueueLogits(int from, int count) {
        CudaLinear head = engine.head();
        head.forward(stream, part(pass.normed, from, count), new DeviceTensor(DType.F32, Shape.of(count, config.vocabSize()), logits));
        stream.download(hostLogits, logits, 4L * count * config.vocabSize());
    }

    @Override
    public Tensor logits(int from, int count) {
        engine.acquire();
        try {
            if (!lastWasStep) {
                enqueueLogits(from, count);
            }
            stream.synchronize();
            Shape shape = Shape.of(count, config.vocabSize());
            return new Tensor(DType.F32, shape, hostLogits.asSlice(0, DType.F32.byteSize(shape.elements())));
        } finally {
            engine.release();
        }
    }

    @Override
    public void residual(float[] to) {
        engine.acquire();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment host = arena.allocate(4L * to.length, Tensor.ALIGNMENT);
            stream.download(host, residual, host.byteSize());
            stream.synchronize();
            MemorySegment.copy(host, ValueLayout.JAVA_FLOAT, 0, to, 0, to.length);
        } finally {
            engine.release();
        }
    }

    @Override
    public void throughLayer(int layer, float[] hidden, int rows) {
        engine.acquire();
        try {
            begin(rows, 0);
            lastWasStep = false;
            copyIn(residual, hidden, rows * config.hiddenSize());
            uploadInputs();
            normalize(engine.normAfter(layer));
            layer(layer);
        } finally {
            engine.release();
        }
        float[] out = new float[rows * config.hiddenSize()];
        residual(out);
        System.arraycopy(out, 0, hidden, 0, out.length);
    }

    private void copyIn(long to, float[] from, int count) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment host = arena.allocate(4L * count, Tensor.ALIGNMENT);
            MemorySegment.copy(from, 0, host, ValueLayout.JAVA_FLOAT, 0, count);
            stream.upload(to, host, host.byteSize());
            stream.synchronize();
        }
    }

    @Override
    public void close() {
        if (step != null) {
            step.close();
        }
        memory.forEach(DeviceMemory::close);
        pinned.forEach(PinnedMemory::close);
        for (int i = 0; i < branches.length; i++) {
            if (joins[i] != null) {
                joins[i].close();
            }
            if (branches[i] != null) {
                branches[i].close();
            }
        }
        if (fork != null) {
            fork.close();
        }
        stream.close();
    }
}
