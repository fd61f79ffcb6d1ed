package io.lowbit.simd;

import jdk.incubator.vector.VectorShape;

/** Asks the Vector API for the machine's width; apart from {@link Simd} so that Simd loads without the module. */
final class PreferredWidth {
    private PreferredWidth() {}

    static int bits() {
        return Math.clamp(VectorShape.preferredShape().vectorBitSize(), 128, 512);
    }
}
