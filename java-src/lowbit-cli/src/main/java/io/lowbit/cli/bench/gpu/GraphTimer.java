package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.Event;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Times launches by replaying a CUDA graph of several of them. All replays are queued at once with an event between each
 * two, so the host's own time is in no figure.
 */
final class GraphTimer implements AutoCloseable {
    private final Context context;
    private final Stream stream;
    private final List<Event> events = new ArrayList<>();

    GraphTimer(Context context) {
        this.context = context;
        this.stream = Stream.open(context);
    }

    /** Where the work goes. */
    Stream stream() {
        return stream;
    }

    /**
     * Times.
     *
     * @param launch adds one launch on copy 0 .. copies−1 to {@link #stream}; is captured
     */
    Timing time(TimingRule rule, int copies, IntConsumer launch) {
        double estimate = estimate(copies, launch);
        TimingRule.Counts counts = rule.counts(estimate, copies);
        try (Graph graph = Graph.capture(stream, () -> {
            for (int i = 0; i < counts.launches(); i++) {
                launch.accept(i % copies);
            }
        })) {
            int warm = Math.clamp((long) Math.ceil(rule.warmNanos() / (estimate * counts.launches())), 1, 1000);
            for (int i = 0; i < warm; i++) {
                graph.launch(stream);
            }
            int replays = counts.replays();
            for (int i = 0; i < replays; i++) {
                event(i).record(stream);
                graph.launch(stream);
            }
            event(replays).record(stream);
            event(replays).synchronize();
            double[] nanos = new double[replays];
            for (int i = 0; i < replays; i++) {
                nanos[i] = event(i + 1).millisecondsSince(event(i)) * 1e6 / counts.launches();
            }
            return Timing.of(nanos, counts.launches(), copies, counts.capped());
        }
    }

    /** About how long one launch takes: the second of two passes over the copies, without a graph. */
    double estimate(int copies, IntConsumer launch) {
        launch.accept(0);
        stream.synchronize();
        event(0).record(stream);
        for (int i = 0; i < copies; i++) {
            launch.accept(i);
        }
        event(1).record(stream);
        event(1).synchronize();
        return Math.max(100, event(1).millisecondsSince(event(0)) * 1e6 / copies);
    }

    private Event event(int index) {
        while (events.size() <= index) {
            events.add(Event.open(context));
        }
        return events.get(index);
    }

    @Override
    public void close() {
        events.forEach(Event::close);
        stream.close();
    }
}
