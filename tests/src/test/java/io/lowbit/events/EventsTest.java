package io.lowbit.events;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.lowbit.backend.BackendOptions;
import io.lowbit.cpu.CpuBackend;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.simd.Simd;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EventsTest {
    private static void launch() {
        LaunchEvent event = LaunchEvent.started();
        if (event != null) {
            event.finish("sm90_gemv_int4_group", 17, 128);
        }
    }

    @Test
    void aRecordingHasLoadsRepacksAndLaunches(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("events.jfr");
        try (Recording recording = new Recording(); CpuBackend backend = new CpuBackend(new BackendOptions(1)); Arena arena = Arena.ofShared()) {
            recording.enable(LoadEvent.class).withoutThreshold();
            recording.enable(RepackEvent.class).withoutThreshold();
            recording.enable(LaunchEvent.class).withoutThreshold();
            recording.start();
            Tensor weights = Tensor.allocate(arena, DType.F32, 16, 64);
            backend.load(Quantizer.quantize(weights, new Scheme.Mxfp4(), QuantizeOptions.DEFAULT, arena)).close();
            launch();
            recording.stop();
            recording.dump(file);
        }
        List<RecordedEvent> events = RecordingFile.readAllEvents(file);
        RecordedEvent load = only(events, "io.lowbit.Load");
        assertEquals("mxfp4", load.getString("scheme"));
        assertEquals(16, load.getLong("n"));
        assertEquals("cpu", load.getString("backend"));
        RecordedEvent launch = only(events, "io.lowbit.Launch");
        assertEquals("sm90_gemv_int4_group", launch.getString("kernel"));
        assertEquals(17, launch.getLong("blocks"));
        if (Simd.vectorized()) {
            assertEquals("mxfp4 [16, 64]", only(events, "io.lowbit.Repack").getString("matrix"));
        }
    }

    private static RecordedEvent only(List<RecordedEvent> events, String name) {
        List<RecordedEvent> found = events.stream().filter(e -> e.getEventType().getName().equals(name)).toList();
        assertEquals(1, found.size(), name + " in " + events);
        return found.getFirst();
    }

    /** An event that nobody records is no object at all. */
    @Test
    void withoutARecordingNothingIsAllocated() {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long least = Long.MAX_VALUE;
        for (int round = 0; round < 50 && least > 0; round++) {
            long before = threads.getCurrentThreadAllocatedBytes();
            for (int i = 0; i < 100_000; i++) {
                launch();
            }
            least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
        }
        assertTrue(least < 1000, least + " bytes in 100,000 launches");
    }
}
