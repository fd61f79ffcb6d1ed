package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** A stream's workspace: zero when new, the stream's own, alive as long as a graph that uses it. */
@Tag("gpu")
class WorkspaceGpuTest {
    @Test
    void workspacesAreZeroStayAndGoWithTheirStream() {
        Gpu.require();
        try (Context context = Context.open(0)) {
            workspaces(context);  // what CUDA keeps for graphs and streams is there from now on
            long before = context.freeBytes();
            workspaces(context);
            assertEquals(before, context.freeBytes());
        }
    }

    private static void workspaces(Context context) {
        try (Arena arena = Arena.ofShared()) {
            MemorySegment got = arena.allocate(Stream.WORKSPACE_BYTES, 8);
            MemorySegment zeros = arena.allocate(Stream.WORKSPACE_BYTES, 8);
            try (Stream first = Stream.open(context); Stream second = Stream.open(context)) {
                // First asked for in the middle of a capture.
                long[] address = new long[1];
                Graph graph = Graph.capture(first, () -> {
                    address[0] = first.workspace();
                    first.fill(address[0] + Stream.COUNTER_BYTES, (byte) 7, 16);
                });
                assertEquals(address[0], first.workspace());
                assertNotEquals(address[0], second.workspace());
                second.download(got, second.workspace(), Stream.WORKSPACE_BYTES);
                second.synchronize();
                assertEquals(-1, got.mismatch(zeros));
                // The graph keeps its stream, and so the workspace, alive.
                first.close();
                graph.launch(second);
                second.download(got, address[0], Stream.WORKSPACE_BYTES);
                second.synchronize();
                assertEquals(Stream.COUNTER_BYTES, got.mismatch(zeros));
                assertEquals(7, got.get(ValueLayout.JAVA_BYTE, Stream.COUNTER_BYTES + 15));
                graph.close();
            }
        }
    }
}
