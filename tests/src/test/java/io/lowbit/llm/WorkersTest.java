package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class WorkersTest {
    @ParameterizedTest(name = "{0} workers")
    @ValueSource(ints = {1, 2, 5})
    void everyPieceRunsOnceAndIsDoneOnReturn(int count) {
        try (Workers workers = new Workers(count)) {
            for (int round = 0; round < 2000; round++) {
                int pieces = round % 17;
                AtomicIntegerArray runs = new AtomicIntegerArray(17);
                AtomicIntegerArray busy = new AtomicIntegerArray(count);
                workers.run(pieces, round % 3 != 0, (i, worker) -> {
                    assertEquals(1, busy.incrementAndGet(worker), "two pieces on worker " + worker);
                    runs.incrementAndGet(i);
                    busy.decrementAndGet(worker);
                });
                for (int i = 0; i < 17; i++) {
                    assertEquals(i < pieces ? 1 : 0, runs.get(i), "round " + round + ", piece " + i);
                }
            }
        }
    }

    @ParameterizedTest(name = "{0} workers")
    @ValueSource(ints = {1, 2, 5})
    void aFailureReachesTheCallerAndTheCrewLivesOn(int count) {
        try (Workers workers = new Workers(count)) {
            for (int round = 0; round < 100; round++) {
                int bad = round % 8;
                IllegalStateException e = assertThrows(IllegalStateException.class, () -> workers.run(8, true, (i, _) -> {
                    if (i == bad) {
                        throw new IllegalStateException("piece " + i);
                    }
                }));
                assertTrue(e.getMessage().endsWith(String.valueOf(bad)));
            }
        }
    }
}
