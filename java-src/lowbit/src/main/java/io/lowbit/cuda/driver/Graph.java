package io.lowbit.cuda.driver;

import io.lowbit.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Work captured from a stream once, to be launched as a whole again and again. */
public final class Graph extends Owner {
    private final Context context;
    private final Stream stream;
    private final MemorySegment executable;

    private Graph(Context context, Stream stream, MemorySegment executable) {
        super("the CUDA graph");
        this.context = context;
        this.stream = stream;
        this.executable = executable;
    }

    /**
     * Captures what {@code work} adds to {@code stream}; nothing runs yet. What the work uses must live until the graph is
     * closed; the stream, whose workspace the work may use, does by itself. An exception of the work ends the capture and is passed on.
     */
    public static Graph capture(Stream stream, Runnable work) {
        Context context = stream.context();
        context.acquire();
        boolean made = false;
        try {
            stream.acquire();
        } catch (IllegalStateException e) {
            context.release();
            throw e;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
            context.enter();
            try {
                // Relaxed: the capture may begin and end on different carriers of a virtual thread.
                context.check(Cuda.cuStreamBeginCapture_v2(stream.segment(), Cuda.CU_STREAM_CAPTURE_MODE_RELAXED()), "cuStreamBeginCapture");
            } finally {
                context.exit();
            }
            boolean done = false;
            MemorySegment graph;
            try {
                work.run();
                done = true;
            } finally {
                graph = endCapture(context, stream, out, done);
            }
            context.enter();
            try {
                context.check(Cuda.cuGraphInstantiateWithFlags(out, graph, 0), "cuGraphInstantiateWithFlags");
            } finally {
                Cuda.cuGraphDestroy(graph);
                context.exit();
            }
            Graph result = new Graph(context, stream, out.get(ValueLayout.ADDRESS, 0));
            made = true;
            return result;
        } finally {
            if (!made) {
                stream.release();
                context.release();
            }
        }
    }

    private static MemorySegment endCapture(Context context, Stream stream, MemorySegment out, boolean check) {
        out.set(ValueLayout.ADDRESS, 0, MemorySegment.NULL);
        context.enter();
        try {
            int result = Cuda.cuStreamEndCapture(stream.segment(), out);
            MemorySegment graph = out.get(ValueLayout.ADDRESS, 0);
            if (check) {
                context.check(result, "cuStreamEndCapture");
            } else if (graph.address() != 0) {
                Cuda.cuGraphDestroy(graph);
            }
            return graph;
        } finally {
            context.exit();
        }
    }

    /** Adds one run of the captured work to {@code stream}. */
    public void launch(Stream stream) {
        requireOpen();
        context.enter();
        try {
            context.check(Cuda.cuGraphLaunch(executable, stream.segment()), "cuGraphLaunch");
        } finally {
            context.exit();
        }
    }

    @Override
    protected void free() {
        try {
            context.free(() -> Cuda.cuGraphExecDestroy(executable), "cuGraphExecDestroy");
        } finally {
            stream.release();
            context.release();
        }
    }
}
