package io.lowbit.quant.calibrate;

import io.lowbit.quant.ClipSearch;
import io.lowbit.quant.Int4Grid;
import io.lowbit.quant.Scheme;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Scales and zero points of the groups of a tile of rows, chosen from the weights as they stand at that moment. */
final class GroupGrids {
    final float[] scales;
    final int[] zeros;
    private final int lanes;
    private final int groups;
    private final Scheme.Int4 scheme;
    private final ClipSearch clip;

    GroupGrids(int lanes, int groups, Scheme.Int4 scheme, ClipSearch clip) {
        this.lanes = lanes;
        this.groups = groups;
        this.scheme = scheme;
        this.clip = clip;
        this.scales = new float[groups * lanes];
        this.zeros = new int[groups * lanes];
    }

    int groups() {
        return groups;
    }

    /**
     * Sets group {@code g} of every lane from columns {@code columns[from..to]} of {@code w}.
     *
     * @param w {@code [column][lane]}
     * @throws ArithmeticException where a scale overflows its type
     */
    void choose(int g, float[][] w, int[] columns, int from, int to) {
        try (Arena arena = clip == null ? null : Arena.ofConfined()) {
            MemorySegment group = clip == null ? null : arena.allocate(4L * (to - from), 4);
            for (int lane = 0; lane < lanes; lane++) {
                float low = 0;
                float high = 0;
                for (int i = from; i < to; i++) {
                    float v = w[columns[i]][lane];
                    low = Math.min(low, v);
                    high = Math.max(high, v);
                    if (group != null) {
                        group.setAtIndex(ValueLayout.JAVA_FLOAT, i - from, v);
                    }
                }
                Int4Grid grid = group == null
                        ? Int4Grid.of(low, high, 1.0, scheme)
                        : Int4Grid.search(group, to - from, low, high, scheme, clip);
                scales[g * lanes + lane] = grid.scale();
                zeros[g * lanes + lane] = grid.zero();
            }
        }
    }
}
