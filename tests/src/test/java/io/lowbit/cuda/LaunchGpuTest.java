package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.CudaException;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Module;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.driver.TensorMap;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What fast kernels need of the driver layer: launch attributes, tensor maps, a stream's workspace. */
@Tag("gpu")
class LaunchGpuTest {
    /** Writes down how it was launched, and what a tensor map copies from column 2, row 1 on: 16 × 4 floats. */
    private static final String PROBE = """
            .version 8.0
            .target sm_90
            .address_size 64
            .extern .shared .align 128 .b8 space[];
            .visible .entry probe(.param .u64 out, .param .f32 value, .param .align 64 .b8 map[128])
            {
                .reg .pred %p<3>;
                .reg .b32 %r<12>;
                .reg .f32 %f<2>;
                .reg .b64 %rd<8>;
                ld.param.u64 %rd1, [out];
                cvta.to.global.u64 %rd2, %rd1;
                ld.param.f32 %f1, [value];
                griddepcontrol.wait;
                mov.u32 %r1, %ctaid.x;
                mov.u32 %r2, %ctaid.y;
                mov.u32 %r3, %ctaid.z;
                add.u32 %r4, %r1, %r2;
                add.u32 %r4, %r4, %r3;
                mov.u32 %r5, %tid.x;
                mov.u32 %r6, %tid.y;
                add.u32 %r4, %r4, %r5;
                add.u32 %r4, %r4, %r6;
                setp.ne.u32 %p1, %r4, 0;
                @%p1 bra DONE;
                mov.u32 %r7, %cluster_nctaid.x;
                st.global.u32 [%rd2], %r7;
                mov.u32 %r7, %cluster_nctaid.y;
                st.global.u32 [%rd2+4], %r7;
                mov.u32 %r7, %nctaid.z;
                st.global.u32 [%rd2+8], %r7;
                mov.u32 %r7, %ntid.y;
                st.global.u32 [%rd2+12], %r7;
                mov.u32 %r7, %dynamic_smem_size;
                st.global.u32 [%rd2+16], %r7;
                st.global.f32 [%rd2+20], %f1;
                mov.u32 %r8, space;
                mbarrier.init.shared::cta.b64 [%r8], 1;
                fence.mbarrier_init.release.cluster;
                mbarrier.arrive.expect_tx.shared::cta.b64 %rd5, [%r8], 256;
                mov.b64 %rd3, map;
                cvta.param.u64 %rd4, %rd3;
                add.u32 %r9, %r8, 1024;
                mov.u32 %r10, 2;
                mov.u32 %r11, 1;
                cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r9], [%rd4, {%r10, %r11}], [%r8];
            WAIT:
                mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r8], 0;
                @!%p2 bra WAIT;
                mov.u32 %r10, 0;
            COPY:
                add.u32 %r11, %r9, %r10;
                ld.shared.u32 %r7, [%r11];
                cvt.u64.u32 %rd6, %r10;
                add.u64 %rd7, %rd2, %rd6;
                st.global.u32 [%rd7+64], %r7;
                add.u32 %r10, %r10, 4;
                setp.lt.u32 %p2, %r10, 256;
                @%p2 bra COPY;
            DONE:
                ret;
            }
            """;

    @Test
    void launchAttributesAndTensorMapsReachTheKernel() {
        Gpu.require();
        try (Context context = Context.open(0); Arena arena = Arena.ofShared()) {
            if (context.device().major() != 9) {
                String why = "clusters and tensor maps are tested on Hopper, this is " + context.device();
                System.out.println("SKIPPED on this machine: " + why);
                Assumptions.abort(why);
            }
            try (Stream stream = Stream.open(context); Module module = Module.load(context, "the probe", PROBE.getBytes(StandardCharsets.US_ASCII));
                    DeviceMemory out = DeviceMemory.allocate(stream, 4096); DeviceMemory matrix = DeviceMemory.allocate(stream, 4096)) {
                // 4 rows of 12: the tile hangs over the right and the lower edge.
                Tensor floats = Tensor.allocate(arena, DType.F32, 4, 12);
                for (int i = 0; i < 48; i++) {
                    floats.setFloat(i, 100 * (i / 12) + i % 12 + 1);
                }
                stream.upload(matrix.address(), floats.data(), floats.data().byteSize());
                int shared = 100 << 10;
                Function probe = module.function("probe").allowShared(shared);
                LaunchConfig config = new LaunchConfig(32, 2, 1, 2, 1, 1, 0, false).withShared(shared).withOverlap();
                Runnable launch = () -> {
                    var arguments = stream.arguments();
                    TensorMap map = arguments.map(0).matrix(context, TensorMap.Type.F32, TensorMap.Swizzle.NONE, TensorMap.Promotion.B128,
                            matrix.address(), 12, 4, 48, 16, 4);
                    arguments.int64(out.address()).float32(2.5f).struct(map);
                    stream.launch(probe, config, 4, 3, 2);
                };
                launch.run();
                check(stream, out, arena);
                stream.fill(out.address(), (byte) 0x55, 4096);
                try (Graph graph = Graph.capture(stream, launch)) {
                    graph.launch(stream);
                    check(stream, out, arena);
                }
                assertThrows(CudaException.class, () -> module.function("probe").allowShared(1 << 30));
                // A refused launch gives the stream back.
                stream.arguments().int64(out.address()).float32(1f).int64(0);
                CudaException e = assertThrows(CudaException.class, () -> stream.launch(probe, config, 3, 1, 1));
                assertEquals("cuLaunchKernelEx", e.call());
                launch.run();
                check(stream, out, arena);
                var arguments = stream.arguments();
                try {
                    assertThrows(CudaException.class, () -> arguments.map(1).matrix(context, TensorMap.Type.F32, TensorMap.Swizzle.NONE,
                            TensorMap.Promotion.NONE, matrix.address() + 4, 12, 4, 48, 16, 4));
                } finally {
                    stream.abandon();
                }
            }
        }
    }

    private static void check(Stream stream, DeviceMemory out, Arena arena) {
        MemorySegment got = arena.allocate(4096, 8);
        stream.download(got, out.address(), 4096);
        stream.synchronize();
        int[] expected = {2, 1, 2, 2, 100 << 10, Float.floatToRawIntBits(2.5f)};
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], got.getAtIndex(ValueLayout.JAVA_INT, i), "word " + i);
        }
        for (int row = 0; row < 4; row++) {
            for (int col = 0; col < 16; col++) {
                float value = row + 1 < 4 && col + 2 < 12 ? 100 * (row + 1) + col + 2 + 1 : 0;
                assertEquals(value, got.getAtIndex(ValueLayout.JAVA_FLOAT, 16 + 16 * row + col), "row " + row + ", column " + col);
            }
        }
    }

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
