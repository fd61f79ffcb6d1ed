package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.lowbit.cuda.driver.Arguments;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.CudaException;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Module;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.driver.TensorMap;
import io.lowbit.cuda.kernels.Architecture;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What a launch asks for reaches the kernel: the probes of {@code launch.cu} tell what they were given. Hopper's alone. */
@Tag("gpu")
class LaunchGpuTest {
    private static final int PITCH = 272;
    private static final int ROWS = 20;
    private static final int COLUMNS = 260;

    private final Arena arena = Arena.ofShared();
    private Context context;
    private Module module;
    private Stream stream;
    private DeviceMemory memory;

    @BeforeEach
    void open() throws Exception {
        Gpu.require();
        context = Context.open(0);
        if (Architecture.of(context.device()) != Architecture.SM90) {
            System.out.println("SKIPPED on this machine: clusters and tensor maps need Hopper, this is " + context.device());
            Assumptions.abort("needs Hopper");
        }
        try (InputStream in = LaunchGpuTest.class.getResourceAsStream("launch.sm_90a.ptx")) {
            module = Module.load(context, "launch.sm_90a.ptx", in.readAllBytes());
        }
        stream = Stream.open(context);
        memory = DeviceMemory.allocate(stream, 1 << 16);
        stream.fill(memory.address(), (byte) 0, memory.bytes());
    }

    @AfterEach
    void close() {
        for (AutoCloseable owner : new AutoCloseable[] {memory, stream, module, context}) {
            if (owner != null) {
                try {
                    owner.close();
                } catch (Exception e) {
                    throw new AssertionError(e);
                }
            }
        }
        arena.close();
    }

    private int[] words(long offset, int count) {
        MemorySegment out = arena.allocate(4L * count, 4);
        stream.download(out, memory.address() + offset, out.byteSize());
        stream.synchronize();
        return out.toArray(ValueLayout.JAVA_INT);
    }

    private void cluster(LaunchConfig config, int gridX, int gridY, int gridZ) {
        Function function = module.function("sm90_probe_cluster").allowLargeClusters();
        stream.arguments().int64(memory.address());
        stream.launch(function, config, gridX, gridY, gridZ);
    }

    @Test
    void clustersHaveTheirBlocks() {
        // {x, y, z of the cluster}; 16 blocks are more than every GPU takes unasked.
        for (int[] size : new int[][] {{1, 1, 1}, {2, 1, 1}, {8, 1, 1}, {16, 1, 1}, {2, 2, 1}, {1, 2, 2}}) {
            int[] grid = {2 * size[0], 3 * size[1], size[2]};
            int threads = 32 * 2 * 3;
            LaunchConfig config = new LaunchConfig(32, 2, 3, size[0], size[1], size[2], 0, false);
            cluster(config, grid[0], grid[1], grid[2]);
            int[] got = words(0, 4 * grid[0] * grid[1] * grid[2]);
            int blocks = size[0] * size[1] * size[2];
            for (int z = 0; z < grid[2]; z++) {
                for (int y = 0; y < grid[1]; y++) {
                    for (int x = 0; x < grid[0]; x++) {
                        int block = x + grid[0] * (y + grid[1] * z);
                        int rank = x % size[0] + size[0] * (y % size[1] + size[1] * (z % size[2]));
                        // The block of the next rank in the same cluster.
                        int next = (rank + 1) % blocks;
                        int nx = x / size[0] * size[0] + next % size[0];
                        int ny = y / size[1] * size[1] + next / size[0] % size[1];
                        int nz = z / size[2] * size[2] + next / size[0] / size[1];
                        assertArrayEquals(new int[] {blocks, rank, nx + grid[0] * (ny + grid[1] * nz), threads},
                                Arrays.copyOfRange(got, 4 * block, 4 * block + 4), config + " block " + block);
                    }
                }
            }
        }
    }

    @Test
    void aGridThatNoClusterDividesIsRefusedAndBreaksNothing() {
        CudaException e = assertThrows(CudaException.class, () -> cluster(LaunchConfig.of(32).withCluster(2, 1, 1), 3, 1, 1));
        assertEquals("cuLaunchKernelEx", e.call());
        assertEquals(null, context.broken());
        cluster(LaunchConfig.of(32).withCluster(2, 1, 1), 4, 1, 1);
        assertEquals(2, words(0, 1)[0]);
    }

    @Test
    void sharedMemoryBeyond48KiBIsTheKernels() {
        Function function = module.function("sm90_probe_shared");
        int most = 227 << 10;
        for (int bytes : new int[] {0, 48 << 10}) {
            shared(function, bytes);
        }
        // Not without asking, and more than there is not at all.
        assertEquals("CUDA_ERROR_INVALID_VALUE", assertThrows(CudaException.class, () -> shared(function, (48 << 10) + 1024)).name());
        assertEquals("cuFuncSetAttribute", assertThrows(CudaException.class, () -> function.allowShared(most + 1024)).call());
        function.allowShared(most);
        for (int bytes : new int[] {(48 << 10) + 1024, most}) {
            shared(function, bytes);
        }
        assertEquals(null, context.broken());
    }

    private void shared(Function function, int bytes) {
        stream.fill(memory.address(), (byte) 0, 8);
        stream.arguments().int64(memory.address());
        stream.launch(function, LaunchConfig.of(256).withShared(bytes), 1, 1, 1);
        assertArrayEquals(new int[] {bytes, bytes / 4}, words(0, 2), bytes + " bytes");
    }

    /**
     * The first kernel waits for the second to begin: with programmatic dependent launch it does, without it cannot. Either
     * way the second reads what the first has written.
     */
    @Test
    void dependentLaunchesOverlapWhereAsked() {
        Function first = module.function("sm90_probe_first");
        Function second = module.function("sm90_probe_second");
        assertArrayEquals(new int[] {1, 1, 77}, pair(first, second, true, 77));
        assertArrayEquals(new int[] {1, 0, 78}, pair(first, second, false, 78));
        // In a graph too.
        try (Graph graph = Graph.capture(stream, () -> enqueue(first, second, true, 79))) {
            for (int i = 0; i < 2; i++) {
                stream.fill(memory.address(), (byte) 0, 16);
                graph.launch(stream);
                assertArrayEquals(new int[] {1, 1, 79}, result());
            }
        }
    }

    private int[] pair(Function first, Function second, boolean overlap, int value) {
        stream.fill(memory.address(), (byte) 0, 16);
        enqueue(first, second, overlap, value);
        return result();
    }

    private void enqueue(Function first, Function second, boolean overlap, int value) {
        long began = memory.address();
        long patience = overlap ? 5_000_000_000L : 20_000_000L;
        stream.arguments().int64(began).int64(began + 4).int64(began + 8).int32(value).int64(patience);
        stream.launch(first, LaunchConfig.of(1), 1, 1, 1);
        stream.arguments().int64(began).int64(began + 8).int64(began + 12);
        stream.launch(second, overlap ? LaunchConfig.of(1).withOverlap() : LaunchConfig.of(1), 1, 1, 1);
    }

    /** Whether the second began, whether the first saw it, what the second took. */
    private int[] result() {
        int[] got = words(0, 4);
        return new int[] {got[0], got[1], got[3]};
    }

    @Test
    void tensorMapsCopyTheBoxTheyDescribe() {
        // Bytes of a matrix [20, 260] with a pitch of 272; what lies between the rows must not come along.
        byte[] matrix = new byte[ROWS * PITCH];
        for (int i = 0; i < matrix.length; i++) {
            matrix[i] = i % PITCH < COLUMNS ? (byte) (1 + i % 251) : (byte) 0xee;
        }
        long from = memory.address();
        long to = memory.address() + 32768;
        stream.upload(from, copy(matrix), matrix.length);
        Function function = module.function("sm90_probe_box");
        for (TensorMap.Swizzle swizzle : TensorMap.Swizzle.values()) {
            int width = swizzle == TensorMap.Swizzle.NONE ? 48 : 16 << swizzle.ordinal();
            for (int[] at : new int[][] {{0, 0}, {32, 5}, {240, 0}, {-16, -3}, {96, 15}}) {
                stream.fill(to, (byte) 0x55, 8L * width);
                Arguments arguments = stream.arguments();
                arguments.struct(arguments.map(0).matrix(context, TensorMap.Type.U8, swizzle, TensorMap.Promotion.B128, from, COLUMNS, ROWS, PITCH,
                        width, 8)).int32(at[0]).int32(at[1]).int32(8 * width).int64(to);
                stream.launch(function, LaunchConfig.of(64).withShared(8 * width), 1, 1, 1);
                byte[] got = bytes(to, 8 * width);
                byte[] expected = new byte[8 * width];
                for (int row = 0; row < 8; row++) {
                    for (int col = 0; col < width; col++) {
                        int y = at[1] + row;
                        int x = at[0] + col;
                        boolean inside = y >= 0 && y < ROWS && x >= 0 && x < COLUMNS;
                        expected[swizzled(row * width + col, swizzle)] = inside ? matrix[y * PITCH + x] : 0;
                    }
                }
                assertArrayEquals(expected, got, swizzle + " at " + at[0] + ", " + at[1]);
            }
        }
    }

    /** Rows of whole 16-byte pieces, as {@link TensorMap} asks for. */
    @Test
    void tensorMapsStoreWithinTheMatrixAlone() {
        int columns = 256;
        byte[] box = new byte[8 * 32];
        for (int i = 0; i < box.length; i++) {
            box[i] = (byte) (i + 1);
        }
        long to = memory.address();
        long from = memory.address() + 32768;
        stream.upload(from, copy(box), box.length);
        TensorMap map = new TensorMap(arena).matrix(context, TensorMap.Type.U8, TensorMap.Swizzle.NONE, TensorMap.Promotion.NONE, to, columns, ROWS,
                PITCH, 32, 8);
        stream.arguments().struct(map).int32(240).int32(16).int32(box.length).int64(from);
        stream.launch(module.function("sm90_probe_store"), LaunchConfig.of(64).withShared(box.length), 1, 1, 1);
        byte[] got = bytes(to, 24 * PITCH);
        byte[] expected = new byte[got.length];
        for (int row = 16; row < ROWS; row++) {
            for (int col = 240; col < columns; col++) {
                expected[row * PITCH + col] = box[(row - 16) * 32 + col - 240];
            }
        }
        assertArrayEquals(expected, got);
    }

    @Test
    void aMapThatTheDriverRefusesSaysWhere() {
        CudaException e = assertThrows(CudaException.class, () -> new TensorMap(arena).matrix(context, TensorMap.Type.U8, TensorMap.Swizzle.NONE,
                TensorMap.Promotion.NONE, memory.address() + 1, COLUMNS, ROWS, PITCH, 16, 8));
        assertEquals("cuTensorMapEncodeTiled", e.call());
        assertEquals(null, context.broken());
    }

    private MemorySegment copy(byte[] bytes) {
        return arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
    }

    private byte[] bytes(long address, int count) {
        MemorySegment out = arena.allocate(count);
        stream.download(out, address, count);
        stream.synchronize();
        return out.toArray(ValueLayout.JAVA_BYTE);
    }

    /** Where a byte of a box lies in shared memory: bits 4 and up are XORed with bits 7 and up, as many as the swizzle's width has. */
    private static int swizzled(int address, TensorMap.Swizzle swizzle) {
        int mask = (1 << swizzle.ordinal()) - 1;
        return address ^ (address >> 7 & mask) << 4;
    }
}
