package io.lowbit.simd;

import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * The species of the chosen width, as constants that C2 can fold. Only vector twins may touch this class: it does
 * not load where the Vector API's module is missing.
 */
public final class Species {
    private static final VectorShape SHAPE = VectorShape.forBitSize(Simd.width() == 0 ? 128 : Simd.width());

    public static final VectorSpecies<Float> FLOAT = VectorSpecies.of(float.class, SHAPE);
    public static final VectorSpecies<Integer> INT = VectorSpecies.of(int.class, SHAPE);
    public static final VectorSpecies<Byte> BYTE = VectorSpecies.of(byte.class, SHAPE);
    public static final VectorSpecies<Short> SHORT = VectorSpecies.of(short.class, SHAPE);
    /** Lanes of {@link #FLOAT} and {@link #INT}: 4, 8 or 16. */
    public static final int LANES = FLOAT.length();

    private Species() {}
}
