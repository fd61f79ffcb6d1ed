package io.lowbit.cli.bench.gpu;

/**
 * What a right y may be off by.
 *
 * @param operandUnit an operand is rounded by this part of itself at most before it is multiplied; 0 where none is
 * @param meanSquare 0 to hold every element to (K+2)·2⁻²⁴·Σ|x||w| plus the operands' and y's rounding; else only the error
 *     of the whole sample is held to this part of the whole, since the arithmetic is not ours to know
 */
record Tolerance(double operandUnit, double meanSquare) {
    /** No operand is rounded. */
    static final Tolerance EXACT = new Tolerance(0, 0);
    /** Gross faults only. */
    static final Tolerance FOREIGN = new Tolerance(0, 0.02);
}
