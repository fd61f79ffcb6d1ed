package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.tensor.DType;

/** Something that makes y = x·Wᵀ on the device and is timed: copies of one weight matrix and a launch on any of them. */
interface Contender extends AutoCloseable {
    /** For tables: a scheme's label or the peer's name, the same for every shape and M. */
    String name();

    /** What runs for the case prepared last: a kernel's or an algorithm's name. */
    String kernel();

    /** True for what is not Lowbit's. */
    boolean peer();

    /** How x is quantized before it is multiplied; null where it is not. */
    ActivationScaling scaling();

    /** True where codes of every copy of x must be there before the launches; false where a launch makes its own. */
    boolean takesCodes();

    /** The type whose multiplication bounds the time. */
    MathType math();

    /** Bytes of one copy as the scheme stores them. */
    long weightBytes();

    /** What a right y may be off by. */
    Tolerance tolerance();

    /** True where it makes products of so many rows of x of this type; it is left out of the others. */
    default boolean takes(int m, DType dtype) {
        return true;
    }

    /** Makes copies 0 .. count−1 of the weights exist. */
    void copies(int count);

    /** Gets ready to multiply {@code activations}, choosing among several ways to do so where there are several. */
    void prepare(GraphTimer timer, Activations activations);

    /**
     * Whether launches run the library's first suggestion or, as after {@link #prepare}, the fastest of them. Only for peers.
     *
     * @return what runs from now on
     */
    default String suggestion(boolean first) {
        throw new UnsupportedOperationException(name() + " is no library's");
    }

    /** Adds one launch to {@code stream}: copy {@code copy} of the weights and of the activations prepared for. */
    void launch(Stream stream, Activations activations, int copy);

    @Override
    void close();
}
