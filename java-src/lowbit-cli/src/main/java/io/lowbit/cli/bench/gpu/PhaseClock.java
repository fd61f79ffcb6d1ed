package io.lowbit.cli.bench.gpu;

import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;
import java.util.function.LongSupplier;
import java.util.stream.Collectors;

/** Where the harness's own time goes: from one {@link #enter} to the next it counts for one phase. For one thread. */
final class PhaseClock {
    /** What the harness is at. */
    enum Phase {
        /** Opening, and measuring the ceilings. */
        CEILINGS,
        /** The driver compiles PTX at the first use of a file of kernels. */
        COMPILE,
        /** Random weights, quantized. */
        WEIGHTS,
        /** Copies of weights and activations. */
        COPIES,
        /** Trying what cuBLASLt suggests. */
        CHOICE,
        /** Poisoning outputs and holding products to the reference. */
        CHECK,
        /** Estimating, recording graphs. */
        CAPTURE,
        /** Leaving the device alone. */
        REST,
        /** Replays, those of the warm-up too. */
        REPLAY,
        /** Calls of one case from Java. */
        DISPATCH,
        /** Text and files. */
        REPORT
    }

    private final LongSupplier nanos;
    private final Map<Phase, Long> spent = new EnumMap<>(Phase.class);
    private Phase now;
    private long since;

    PhaseClock(LongSupplier nanos) {
        this.nanos = nanos;
    }

    /** From now on time counts for {@code phase}; returns the phase before, null at the start. */
    Phase enter(Phase phase) {
        long at = nanos.getAsLong();
        if (now != null) {
            spent.merge(now, at - since, Long::sum);
        }
        since = at;
        Phase before = now;
        now = phase;
        return before;
    }

    /** {@code part} of what was spent in this phase since it was entered was {@code phase} indeed. */
    void move(Phase phase, long part) {
        if (part > 0) {
            since += part;
            spent.merge(phase, part, Long::sum);
        }
    }

    /** Seconds of each phase so far, in the order of their names above. */
    Map<String, Double> seconds() {
        enter(now);
        return spent.entrySet().stream().collect(Collectors.toMap(e -> e.getKey().name().toLowerCase(Locale.ROOT), e -> e.getValue() * 1e-9,
                (a, _) -> a, java.util.LinkedHashMap::new));
    }
}
