package io.lowbit.cpu;

import io.lowbit.simd.Species;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * The small steps that every kernel decodes with. They are short enough for C2 to inline always; a vector that crosses
 * a call that is not inlined is allocated on the heap.
 */
final class Fields {
    static final VectorSpecies<Float> F = Species.FLOAT;
    static final VectorSpecies<Integer> I = Species.INT;
    static final int LANES = Species.LANES;
    static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;
    /** 2^23: the float whose last bit weighs 1. */
    static final int MAGIC = 0x4b000000;

    private Fields() {}

    /** The small float in the top bits of each word as f32: {@link Panels.FloatField}. */
    static FloatVector top(IntVector words, int shift, int mask, float factor) {
        return words.lanewise(VectorOperators.ASHR, shift).and(mask).reinterpretAsFloats().mul(factor);
    }

    /** The same with the field's constants in vectors, which C2 then keeps in registers through a loop. */
    static FloatVector top(IntVector words, IntVector shift, IntVector mask, FloatVector factor) {
        return words.lanewise(VectorOperators.ASHR, shift).and(mask).reinterpretAsFloats().mul(factor);
    }

    /** Shift that brings a group's scale to the top of its word. */
    static int up(int group, int wordShift, int bits) {
        return 32 - bits * ((group & ((1 << wordShift) - 1)) + 1);
    }

    /** Scales of one group, at address {@code at}: {@link #up} and {@link Panels.FloatField}. */
    static FloatVector scale(long at, int up, int shift, IntVector mask, FloatVector factor) {
        return IntVector.fromMemorySegment(I, Memory.ALL, at, LE).lanewise(VectorOperators.LSHL, up).lanewise(VectorOperators.ASHR, shift)
                .and(mask).reinterpretAsFloats().mul(factor);
    }

    /** Zero points 0..15 of one group as 2^23 + zero, with the masks that do so: 15 and {@link #MAGIC}. */
    static FloatVector zero(long at, int down, IntVector nibble, IntVector magic) {
        return IntVector.fromMemorySegment(I, Memory.ALL, at, LE).lanewise(VectorOperators.LSHR, down).and(nibble).or(magic).reinterpretAsFloats();
    }

    /** Vector {@code part} of a table of 16 floats, as integers; the last one there is for parts beyond. */
    static IntVector table(float[] table, int part) {
        return FloatVector.fromArray(F, table, Math.min(part * LANES, 16 - LANES)).reinterpretAsInts();
    }

    /** Looks the low 4 bits of each word up in a table of 16 that fills 1, 2 or 4 vectors. Other bits are ignored. */
    static FloatVector look(IntVector words, IntVector t0, IntVector t1, IntVector t2, IntVector t3) {
        if (LANES == 16) {
            return words.selectFrom(t0).reinterpretAsFloats();
        }
        if (LANES == 8) {
            return words.selectFrom(t0, t1).reinterpretAsFloats();
        }
        return words.selectFrom(t0, t1).blend(words.selectFrom(t2, t3), words.and(8).compare(VectorOperators.NE, 0)).reinterpretAsFloats();
    }
}
