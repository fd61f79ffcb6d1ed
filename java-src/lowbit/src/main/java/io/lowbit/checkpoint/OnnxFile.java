package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * The tensors of an ONNX model, open for reading: its graph's initializers, and constants that layers multiply with. The file is walked as
 * protobuf; elements stay mapped where they are stored plainly.
 *
 * <p>ModelProto: producer_name 2, graph 7, metadata_props 14; GraphProto: node 1, initializer 5; NodeProto: input 1,
 * output 2, name 3, op_type 4, attribute 5; AttributeProto: name 1, i 3, t 5, ints 8. Names, initializers' places and
 * nodes are read; nothing is run.
 */
public final class OnnxFile implements AutoCloseable {
    /** Names that an exporter made up for a tensor that had lost its own. */
    private static final Pattern ANONYMOUS = Pattern.compile("onnx::.*|\\d+|_?val_\\d+|.*Constant(_\\d+)?_output_\\d+|/.*");

    private final MappedFile file;
    private final Arena arena;
    private final Map<String, Tensor> tensors;
    private final Map<String, String> metadata;
    private final List<LinearWeight> linearWeights;
    private final List<String> notes;
    private final List<MappedFile> externals;

    private OnnxFile(MappedFile file, Arena arena, Builder builder) {
        this.file = file;
        this.arena = arena;
        this.tensors = Collections.unmodifiableMap(builder.tensors);
        this.metadata = Collections.unmodifiableMap(builder.metadata);
        this.linearWeights = List.copyOf(builder.linearWeights());
        this.notes = List.copyOf(builder.notes);
        this.externals = List.copyOf(builder.externals.values());
    }

    /**
     * Opens a file mapped; external data must lie in its folder.
     *
     * @throws CheckpointException when it is not a well-formed ONNX model
     */
    public static OnnxFile open(Path path) throws IOException {
        MappedFile file = MappedFile.open(path, FileAccess.MAP);
        Arena arena = Arena.ofShared();
        Builder builder = new Builder(path, arena);
        try {
            builder.model(new ProtoReader(path.toString(), file.data()));
            return new OnnxFile(file, arena, builder);
        } catch (InternalError e) {
            close(file, arena, builder);
            return MappedFile.guard(path, () -> {
                throw e;
            });
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            close(file, arena, builder);
            throw e;
        }
    }

    private static void close(MappedFile file, Arena arena, Builder builder) {
        builder.externals.values().forEach(MappedFile::close);
        arena.close();
        file.close();
    }

    public Path path() {
        return file.path();
    }

    /** By name, initializers in file order first. */
    public Map<String, Tensor> tensors() {
        return tensors;
    }

    /** {@code producer_name} and the model's properties. */
    public Map<String, String> metadata() {
        return metadata;
    }

    /**
     * What MatMul and Gemm nodes multiply activations with, in the order of the nodes, each tensor once. A layer is
     * called as its tensor; where an exporter has folded the tensor and lost its name ({@code onnx::MatMul_123}), as
     * its node: {@code /encoder/layer.0/query/MatMul} is {@code encoder.layer.0.query}.
     */
    public List<LinearWeight> linearWeights() {
        return linearWeights;
    }

    /** What was left out, a line each: initializers of strings and the like. */
    public List<String> notes() {
        return notes;
    }

    /** Makes sure that the file was not cut, replaced or written to since it was opened. */
    public void verifyUnchanged() throws IOException {
        file.verifyUnchanged();
        for (MappedFile external : externals) {
            external.verifyUnchanged();
        }
    }

    /** Frees the file; its tensors throw {@link IllegalStateException} from now on. A second call does nothing. */
    @Override
    public void close() {
        file.close();
        externals.forEach(MappedFile::close);
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }

    /** Where a node's second input comes from, and whether an odd number of transpositions lies between. */
    private record Source(String name, boolean swapped) {}

    private record Node(String op, String name, List<String> inputs, List<String> outputs, Map<String, Long> numbers, Map<String, List<Long>> lists) {}

    private static final class Builder {
        private final Path path;
        private final Arena arena;
        private final Map<String, Tensor> tensors = new LinkedHashMap<>();
        private final Map<String, String> metadata = new LinkedHashMap<>();
        private final List<String> notes = new ArrayList<>();
        private final Map<String, MappedFile> externals = new LinkedHashMap<>();
        private final List<Node> nodes = new ArrayList<>();
        private final Map<String, Node> producers = new HashMap<>();
        private final Set<String> skipped = new HashSet<>();
        private final Map<String, OnnxTensor> constants = new HashMap<>();

        Builder(Path path, Arena arena) {
            this.path = path;
            this.arena = arena;
        }

        void model(ProtoReader in) throws IOException {
            boolean graph = false;
            while (in.next()) {
                switch (in.field()) {
                    case 2 -> metadata.put("producer_name", in.text());
                    case 7 -> {
                        if (graph) {
                            throw refused("it holds two graphs");
                        }
                        graph = true;
                        graph(in.message());
                    }
                    case 14 -> property(in.message());
                    default -> { }
                }
            }
            if (!graph) {
                throw refused("it holds no graph");
            }
        }

        private void property(ProtoReader in) {
            String key = "";
            String value = "";
            while (in.next()) {
                switch (in.field()) {
                    case 1 -> key = in.text();
                    case 2 -> value = in.text();
                    default -> { }
                }
            }
            metadata.putIfAbsent(key, value);
        }

        private void graph(ProtoReader in) throws IOException {
            while (in.next()) {
                switch (in.field()) {
                    case 1 -> node(in.message());
                    case 5 -> tensor(new OnnxTensor(path.toString(), in, null));
                    default -> { }
                }
            }
            // Constants of the graph's own arithmetic (axes, shapes) are no weights; those that layers multiply with are.
            for (Node node : nodes) {
                if (linear(node)) {
                    OnnxTensor constant = constants.get(source(node).name);
                    if (constant != null && !tensors.containsKey(constant.name)) {
                        tensor(constant);
                    }
                }
            }
        }

        private void node(ProtoReader in) throws IOException {
            String op = "";
            String name = "";
            List<String> inputs = new ArrayList<>();
            List<String> outputs = new ArrayList<>();
            Map<String, Long> numbers = new HashMap<>();
            Map<String, List<Long>> lists = new HashMap<>();
            List<ProtoReader> values = new ArrayList<>();
            while (in.next()) {
                switch (in.field()) {
                    case 1 -> inputs.add(in.text());
                    case 2 -> outputs.add(in.text());
                    case 3 -> name = in.text();
                    case 4 -> op = in.text();
                    case 5 -> values.add(in.message());
                    default -> { }
                }
            }
            for (ProtoReader attribute : values) {
                attribute(attribute, op, outputs, numbers, lists);
            }
            Node node = new Node(op, name, inputs, outputs, numbers, lists);
            nodes.add(node);
            outputs.forEach(o -> producers.put(o, node));
        }

        private void attribute(ProtoReader in, String op, List<String> outputs, Map<String, Long> numbers, Map<String, List<Long>> lists)
                throws IOException {
            String key = "";
            Long number = null;
            OnnxTensor tensor = null;
            List<Long> list = new ArrayList<>();
            while (in.next()) {
                switch (in.field()) {
                    case 1 -> key = in.text();
                    case 3 -> number = in.number();
                    case 5 -> tensor = op.equals("Constant") && outputs.size() == 1 ? new OnnxTensor(path.toString(), in, outputs.getFirst()) : null;
                    case 8 -> {
                        if (in.wireType() == ProtoReader.BYTES) {
                            ProtoReader packed = in.message();
                            while (packed.nextPacked()) {
                                list.add(packed.number());
                            }
                        } else {
                            list.add(in.number());
                        }
                    }
                    default -> { }
                }
            }
            if (number != null) {
                numbers.put(key, number);
            }
            lists.put(key, list);
            if (tensor != null && key.equals("value") && tensor.dtype() != null) {
                constants.put(tensor.name, tensor);
            }
        }

        private void tensor(OnnxTensor t) throws IOException {
            if (t.name.isEmpty() || Names.unfit(t.name)) {
                throw new CheckpointException(Fault.NAME, path.toString(), "an initializer is named " + CheckpointException.quote(t.name),
                        "the file is malformed: ask its maker for a correct one");
            }
            if (tensors.containsKey(t.name) || skipped.contains(t.name)) {
                throw refused("two initializers are named " + CheckpointException.quote(t.name));
            }
            if (t.dtype() == null) {
                skipped.add(t.name);
                notes.add("initializer " + CheckpointException.quote(t.name) + " of ONNX type " + t.typeNumber() + " is left out: it is no plain number");
                return;
            }
            tensors.put(t.name, t.tensor(arena, this::external));
        }

        private MemorySegment external(String location) throws IOException {
            MappedFile opened = externals.get(location);
            if (opened == null) {
                opened = MappedFile.open(ShardPaths.resolve(path, path.toAbsolutePath().getParent(), location), FileAccess.MAP);
                externals.put(location, opened);
            }
            return opened.data();
        }

        List<LinearWeight> linearWeights() {
            Map<String, LinearWeight> byTensor = new LinkedHashMap<>();
            Set<String> taken = new HashSet<>();
            for (Node node : nodes) {
                if (!linear(node)) {
                    continue;
                }
                Source source = source(node);
                Tensor t = tensors.get(source.name);
                if (t == null || t.shape().rank() != 2 || !t.dtype().isFloat() || byTensor.containsKey(source.name)) {
                    continue;
                }
                // MatMul: x [.., K] times [K, N]; Gemm: the same unless transB
                boolean transposed = source.swapped ^ (node.op.equals("MatMul") || node.numbers.getOrDefault("transB", 0L) == 0);
                String layer = layer(source.name, node);
                while (!taken.add(layer)) {
                    layer += "_";
                }
                byTensor.put(source.name, new LinearWeight(layer, source.name, t.dim(transposed ? 1 : 0), t.dim(transposed ? 0 : 1), transposed));
            }
            return List.copyOf(byTensor.values());
        }

        private static boolean linear(Node node) {
            return (node.op.equals("MatMul") || node.op.equals("Gemm")) && node.inputs.size() >= 2;
        }

        /** Follows the second input through Identity and plain Transpose nodes, as exporters leave them. */
        private Source source(Node node) {
            String name = node.inputs.get(1);
            boolean swapped = false;
            for (int hops = 0; hops < 4 && !tensors.containsKey(name) && producers.containsKey(name); hops++) {
                Node from = producers.get(name);
                boolean swap = from.op.equals("Transpose") && from.lists.getOrDefault("perm", List.of()).equals(List.of(1L, 0L));
                if ((!swap && !from.op.equals("Identity")) || from.inputs.isEmpty()) {
                    break;
                }
                swapped ^= swap;
                name = from.inputs.getFirst();
            }
            return new Source(name, swapped);
        }

        private static String layer(String tensor, Node node) {
            if (!ANONYMOUS.matcher(tensor).matches()) {
                return tensor.endsWith(".weight") ? tensor.substring(0, tensor.length() - ".weight".length()) : tensor;
            }
            int slash = node.name.lastIndexOf('/');
            if (slash > 0 && !Names.unfit(node.name)) {
                String module = node.name.substring(node.name.startsWith("/") ? 1 : 0, slash);
                return module.replace('/', '.');
            }
            return tensor.replace("::", "_");
        }

        private CheckpointException refused(String why) {
            return new CheckpointException(Fault.HEADER, path.toString(), "not an ONNX model, or damaged: " + why, "check the file or download it again");
        }
    }
}
