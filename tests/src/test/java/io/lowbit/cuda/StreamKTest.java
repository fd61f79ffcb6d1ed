package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.kernels.StreamK;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Tiles whose K is cut: every step once, equal runs, nobody waits for who may never come, no slot twice. */
class StreamKTest {
    private record Piece(int worker, StreamK.Pieces of) {}

    @Test
    void everyStepOfEveryTileIsDoneOnce() {
        for (int workers : new int[] {1, 2, 3, 5, 7, 64, 66, 129, 132}) {
            for (int steps : new int[] {1, 2, 3, 13, 32, 65}) {
                for (int tiles = 1; tiles <= 300; tiles += tiles < 20 ? 1 : 9) {
                    for (long whole = 0; whole <= tiles; whole += workers) {
                        long total = (tiles - whole) * steps;
                        if (total == 0 || total >= workers) {
                            check(new StreamK(tiles, steps, workers, whole));
                        }
                    }
                }
            }
        }
    }

    private static void check(StreamK way) {
        List<List<Piece>> of = new ArrayList<>();
        for (long tile = 0; tile < way.tiles(); tile++) {
            of.add(new ArrayList<>());
        }
        BitSet done = new BitSet();
        BitSet slots = new BitSet();
        for (int worker = 0; worker < way.workers(); worker++) {
            List<StreamK.Work> all = way.work(worker);
            int run = 0;
            for (int i = 0; i < all.size(); i++) {
                StreamK.Work work = all.get(i);
                int at = (int) work.tile() * way.steps();
                int next = done.nextSetBit(at + work.begin());
                assertTrue(next < 0 || next >= at + work.end(), () -> "twice: " + way + work);
                done.set(at + work.begin(), at + work.end());
                run += work.tile() >= way.whole() ? work.end() - work.begin() : 0;
                StreamK.Pieces pieces = way.pieces(worker, work);
                assertEquals(pieces.count() > 1, work.end() - work.begin() < way.steps(), () -> way + " " + work);
                if (pieces.count() > 1) {
                    of.get((int) work.tile()).add(new Piece(worker, pieces));
                    assertEquals(i == all.size() - 1, pieces.mine() < pieces.late(), () -> "late: " + way + work);
                    if (pieces.mine() > 0 || pieces.late() > 1) {
                        int slot = pieces.slot() + pieces.mine();
                        assertTrue(slot < way.slots() && !slots.get(slot), () -> "slot " + slot + ": " + way + work);
                        slots.set(slot);
                    }
                }
            }
            int steps = run;
            long cut = (way.tiles() - way.whole()) * way.steps();
            assertTrue(steps >= cut / way.workers() && steps <= Math.ceilDiv(cut, way.workers()), () -> "run of " + steps + ": " + way);
        }
        assertEquals(way.tiles() * way.steps(), done.cardinality(), way::toString);
        of.stream().filter(pieces -> !pieces.isEmpty()).forEach(pieces -> tile(way, pieces));
    }

    private static void tile(StreamK way, List<Piece> pieces) {
        int count = pieces.getFirst().of.count();
        assertEquals(count, pieces.size(), way::toString);
        for (int chunk = 0; chunk < StreamK.CHUNKS; chunk++) {
            int c = chunk;
            List<Piece> finishing = pieces.stream().filter(piece -> piece.of.finishes(c)).toList();
            assertEquals(1, finishing.size(), () -> "chunk " + c + ": " + way + pieces);
            Piece last = finishing.getFirst();
            assertTrue(last.of.mine() < last.of.late(), () -> "who goes on finishes nothing: " + way + pieces);
            // Alone it waits for as long as it takes: for blocks that were there before it.
            assertFalse(last.of.late() == 1 && pieces.stream().anyMatch(piece -> piece != last && piece.worker >= last.worker), () -> way + " " + pieces);
        }
        // In the order of K the workers go down.
        for (Piece piece : pieces) {
            assertEquals(pieces.getFirst().worker + pieces.getFirst().of.mine(), piece.worker + piece.of.mine(), way::toString);
        }
    }
}
