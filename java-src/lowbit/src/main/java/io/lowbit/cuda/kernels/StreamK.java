package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * How the tiles of a product are shared out: {@code stream_k.cuh}, which draws it and has the same arithmetic. First whole
 * tiles, in rounds of one a worker; the K of the others, end to end, is cut into a run for each worker. A worker is a block,
 * or a cluster whose blocks do the same with neighbouring tiles.
 *
 * @param tiles of y
 * @param steps of K of a tile
 * @param workers that take part, at most {@code tiles · steps}
 * @param whole tiles that are not cut, the first
 */
public record StreamK(long tiles, int steps, int workers, long whole) {
    /** Parts of a tile that several workers finish, each its own. */
    public static final int CHUNKS = 4;
    /** How often a worker looks for the sums of others that may not be on the GPU at all: some 50 µs. */
    public static final int PATIENCE = 128;

    /** What is chosen once for all layers of a shape. */
    private record Problem(long tiles, int steps, int most, Cost cost) {}

    /**
     * What a kernel's work costs.
     *
     * @param seam steps of K that take as long as it takes to give away, to fetch or to store the sums of a tile
     * @param slotBytes of a worker's sums
     * @param counters that a tile of a worker needs
     */
    public record Cost(double seam, long slotBytes, int counters) {}

    private static final Map<Problem, StreamK> CHOSEN = new ConcurrentHashMap<>();

    /** Steps {@code begin … end − 1} of a tile, by one worker. */
    public record Work(long tile, int begin, int end) {}

    /**
     * The pieces of a tile.
     *
     * @param mine number of the one that was asked about; 0 has the beginning of K
     * @param count 1 where nothing is cut
     * @param late how many of the first ones are the last thing that their worker does
     * @param slot place of the first one's sums in the workspace, which the others follow
     */
    public record Pieces(int mine, int count, int late, int slot) {
        /** True for the chunks that this piece is to finish. */
        public boolean finishes(int chunk) {
            return (late <= CHUNKS ? chunk * late / CHUNKS : chunk) == mine;
        }
    }

    /** Nothing is cut. */
    static StreamK rounds(long tiles, int steps, int most) {
        return new StreamK(tiles, steps, (int) Math.min(tiles, most), tiles);
    }

    /** The way with which the last worker ends soonest, as far as this reckoning goes; {@code most}: workers that the GPU has room for. */
    static StreamK choose(long tiles, int steps, int most, Cost cost) {
        return CHOSEN.computeIfAbsent(new Problem(tiles, steps, most, cost), StreamK::best);
    }

    private static StreamK best(Problem problem) {
        StreamK best = rounds(problem.tiles, problem.steps, problem.most);
        for (StreamK way : ways(problem.tiles, problem.steps, problem.most)) {
            if (way.fits(problem.cost) && way.duration(problem.cost) < best.duration(problem.cost)) {
                best = way;
            }
        }
        return best;
    }

    /** Cut to the last round or to the one before it; all workers, or as many as make the pieces of all tiles alike. */
    private static List<StreamK> ways(long tiles, int steps, int most) {
        List<StreamK> ways = new ArrayList<>();
        long full = tiles / most;
        for (long rounds = Math.max(0, full - 1); rounds <= full && rounds * most < tiles; rounds++) {
            long cut = tiles - rounds * most;
            for (long workers = rounds == 0 ? Math.min(cut, most) : most; workers <= most; workers++) {
                if ((workers == most || workers % cut == 0 || cut % workers == 0 || workers > most - 4) && cut * steps >= workers) {
                    ways.add(new StreamK(tiles, steps, (int) workers, rounds * most));
                }
            }
        }
        return ways;
    }

    private long cut() {
        return tiles - whole;
    }

    private long total() {
        return cut() * steps;
    }

    /** Slots in the workspace that are in use. */
    public long slots() {
        return cut() >= workers ? workers : cut() + workers - 1;
    }

    private boolean fits(Cost cost) {
        return slots() * cost.slotBytes <= Stream.WORKSPACE_BYTES - Stream.COUNTER_BYTES
                && cut() * cost.counters * 4 <= Stream.COUNTER_BYTES && (total() + 1) * workers < Integer.MAX_VALUE;
    }

    /** Steps of the worker that takes longest. */
    private double duration(Cost cost) {
        double longest = 0;
        for (int worker = 0; worker < workers; worker++) {
            double own = Math.ceilDiv(Math.max(0, whole - worker), workers) * (steps + cost.seam);
            for (Work work : run(worker)) {
                own += work.end - work.begin;
                Pieces pieces = pieces(worker, work);
                double shares = 0;
                for (int chunk = 0; chunk < CHUNKS; chunk++) {
                    // Stored, and fetched from the others; or given away.
                    shares += pieces.count == 1 ? 1 : pieces.finishes(chunk) ? pieces.count : 1;
                }
                own += cost.seam * shares / CHUNKS;
            }
            longest = Math.max(longest, own);
        }
        return longest;
    }

    /** All that a worker does, in order. */
    public List<Work> work(int worker) {
        List<Work> all = new ArrayList<>();
        for (long tile = worker; tile < whole; tile += workers) {
            all.add(new Work(tile, 0, steps));
        }
        all.addAll(run(worker));
        return all;
    }

    /** Its run of the tiles that are cut. */
    private List<Work> run(int worker) {
        List<Work> run = new ArrayList<>();
        long until = runBegin(workers - worker);
        for (long at = runBegin(workers - 1 - worker); at < until; ) {
            int begin = (int) (at % steps);
            int end = (int) Math.min(steps, begin + until - at);
            run.add(new Work(whole + at / steps, begin, end));
            at += end - begin;
        }
        return run;
    }

    /** The pieces of a tile that a worker has work at. */
    public Pieces pieces(int worker, Work work) {
        if (work.tile < whole) {
            return new Pieces(0, 1, 1, 0);
        }
        long from = (work.tile - whole) * steps;
        int first = runAt(from);
        int last = runAt(from + steps - 1);
        int late = last - first + (runBegin(last + 1) == from + steps ? 1 : 0);
        return new Pieces(workers - 1 - worker - first, last - first + 1, late, cut() >= workers ? first : first + (int) (work.tile - whole));
    }

    private long runBegin(int run) {
        return run * total() / workers;
    }

    private int runAt(long step) {
        return (int) (((step + 1) * workers - 1) / total());
    }
}
