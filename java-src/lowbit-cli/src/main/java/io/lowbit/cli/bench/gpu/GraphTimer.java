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
            try (Graphs graphs = new Graphs(counts, used, launch)) {
                clock.enter(PhaseClock.Phase.REST);
                rest(rule.restNanos());
                clock.enter(PhaseClock.Phase.REPLAY);
                if (rule.settled()) {
                    settle(graphs, estimate * counts.launches());
                } else {
                    graphs.launch(rule.warmNanos(), estimate * counts.launches());
                }
                double[] samples = rule.apart() ? apart(graphs, counts.replays()) : queued(graphs, counts.replays());
                for (int i = 0; i < samples.length; i++) {
                    samples[i] /= counts.launches();
                }
                return Timing.of(samples, counts.launches(), Math.min(used, counts.launches() * counts.replays()), counts.capped());
            }
        } finally {
            clock.enter(before);
        }
    }

    /** Works until the times of the last parts hardly differ, so that the clock is where the power limit leaves it. */
    private void settle(Graphs graphs, double nanos) {
        Settling settling = new Settling();
        do {
            event(0).record(stream);
            int replays = graphs.launch(Settling.PART_NANOS, nanos);
            event(1).record(stream);
            event(1).synchronize();
            settling.part(event(1).millisecondsSince(event(0)) * 1e6, replays);
        } while (!settling.done());
    }

    /**
     * Launches on one copy after the other, captured in as many graphs as it takes until each copy has had its turn; each
     * replay is that of the next graph.
     */
    private final class Graphs implements AutoCloseable {
        private final List<Graph> graphs = new ArrayList<>();
        private int turn;

        private Graphs(TimingRule.Counts counts, int copies, IntConsumer launch) {
            int count = Math.ceilDiv(copies, counts.launches());
            try {
                for (int g = 0; g < count; g++) {
                    int first = g * counts.launches();
                    graphs.add(Graph.capture(stream, () -> {
                        for (int i = 0; i < counts.launches(); i++) {
                            launch.accept((first + i) % copies);
                        }
                    }));
                }
            } catch (RuntimeException e) {
                close();
                throw e;
            }
        }

        /** The next replay. */
        void launch() {
            graphs.get(turn++ % graphs.size()).launch(stream);
        }

        /** About {@code nanos} of replays of {@code each}, at least one; how many. */
        int launch(double nanos, double each) {
            int replays = Math.clamp((long) Math.ceil(nanos / each), 1, 1000);
            for (int i = 0; i < replays; i++) {
                launch();
            }
            return replays;
        }

        @Override
        public void close() {
            graphs.forEach(Graph::close);
        }
    }

    /** All replays are queued with an event between each two: the device never waits for the host. */
    private double[] queued(Graphs graphs, int replays) {
        for (int i = 0; i < replays; i++) {
            event(i).record(stream);
            graphs.launch();
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
    private double[] apart(Graphs graphs, int replays) {
        double[] nanos = new double[replays];
        for (int i = 0; i < replays; i++) {
            event(0).record(stream);
            graphs.launch();
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

    /** Nanoseconds of a launch on copy 0 that starts on an idle device; of the second, since the first may load or compile the kernel. */
    double once(IntConsumer launch) {
        launch.accept(0);
        stream.synchronize();
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
