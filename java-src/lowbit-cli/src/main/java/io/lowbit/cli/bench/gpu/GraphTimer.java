package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.Event;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Times launches by replaying a CUDA graph of several of them. Unless the rule says otherwise all replays are queued at once
 * with an event between each two, so the host's own time is in no figure.
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

    /** Times what nobody asks the phases of. */
    Timing time(TimingRule rule, int copies, IntConsumer launch) {
        return time(rule, once(launch), copies, launch, new PhaseClock(System::nanoTime));
    }

    /**
     * Times.
     *
     * @param nanos about how long a launch takes, as {@link #once} says
     * @param launch adds one launch on copy 0 .. copies−1 to {@link #stream}; is captured
     * @param clock is told what this is at
     */
    Timing time(TimingRule rule, double nanos, int copies, IntConsumer launch, PhaseClock clock) {
        PhaseClock.Phase before = clock.enter(PhaseClock.Phase.CAPTURE);
        try {
            int used = rule.copies(nanos, copies);
            double estimate = estimate(used, launch);
            TimingRule.Counts counts = rule.counts(estimate, used);
            try (Graph graph = Graph.capture(stream, () -> {
                for (int i = 0; i < counts.launches(); i++) {
                    launch.accept(i % used);
                }
            })) {
                clock.enter(PhaseClock.Phase.REST);
                rest(rule.restNanos());
                clock.enter(PhaseClock.Phase.REPLAY);
                int warm = Math.clamp((long) Math.ceil(rule.warmNanos() / (estimate * counts.launches())), 1, 1000);
                for (int i = 0; i < warm; i++) {
                    graph.launch(stream);
                }
                double[] samples = rule.apart() ? apart(graph, counts.replays()) : queued(graph, counts.replays());
                for (int i = 0; i < samples.length; i++) {
                    samples[i] /= counts.launches();
                }
                return Timing.of(samples, counts.launches(), used, counts.capped());
            }
        } finally {
            clock.enter(before);
        }
    }

    /** All replays are queued with an event between each two: the device never waits for the host. */
    private double[] queued(Graph graph, int replays) {
        for (int i = 0; i < replays; i++) {
            event(i).record(stream);
            graph.launch(stream);
        }
        event(replays).record(stream);
        event(replays).synchronize();
        double[] nanos = new double[replays];
        for (int i = 0; i < replays; i++) {
            nanos[i] = event(i + 1).millisecondsSince(event(i)) * 1e6;
        }
        return nanos;
    }

    /** Each replay is waited for: the time it takes the host to launch the graph on an idle device counts. */
    private double[] apart(Graph graph, int replays) {
        double[] nanos = new double[replays];
        for (int i = 0; i < replays; i++) {
            event(0).record(stream);
            graph.launch(stream);
            event(1).record(stream);
            event(1).synchronize();
            nanos[i] = event(1).millisecondsSince(event(0)) * 1e6;
        }
        return nanos;
    }

    /** Leaves the device alone. */
    void rest(double nanos) {
        stream.synchronize();
        long until = System.nanoTime() + (long) nanos;
        for (long left = (long) nanos; left > 0; left = until - System.nanoTime()) {
            java.util.concurrent.locks.LockSupport.parkNanos(left);
        }
    }

    /** Nanoseconds of a launch on copy 0 that starts on an idle device. */
    double once(IntConsumer launch) {
        return pass(1, launch);
    }

    /** About how long one launch takes, of a pass over the copies without a graph. */
    private double estimate(int copies, IntConsumer launch) {
        return Math.max(100, pass(copies, launch) / copies);
    }

    private double pass(int copies, IntConsumer launch) {
        event(0).record(stream);
        for (int i = 0; i < copies; i++) {
            launch.accept(i);
        }
        event(1).record(stream);
        event(1).synchronize();
        return event(1).millisecondsSince(event(0)) * 1e6;
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
