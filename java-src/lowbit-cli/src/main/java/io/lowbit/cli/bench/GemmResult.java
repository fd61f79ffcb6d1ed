package io.lowbit.cli.bench;

/** What became of a case. */
public sealed interface GemmResult {
    GemmCase gemm();

    /**
     * Not timed: the product is wrong.
     *
     * @param reason which element, what it is and what it should be
     */
    record Refused(GemmCase gemm, String reason) implements GemmResult {}

    /**
     * Not timed: the case does not exist on this machine.
     *
     * @param reason why
     */
    record Skipped(GemmCase gemm, String reason) implements GemmResult {}

    /**
     * Timed.
     *
     * @param copies of the layer that the calls rotated through
     * @param storedBytes of one copy in the scheme's own layout, scales included
     * @param layerBytes of one copy as the backend holds it
     * @param nanos of one call
     * @param firstRound median of the first round of calls, nanoseconds
     * @param lastRound median of the last, nanoseconds
     * @param allocatedPerCall bytes of Java heap, all threads together
     * @param worstError largest error against the reference, as a fraction of its bound
     * @param steady false where the compiler was still at work when the warm-up ended
     * @param othersProcessors processors that other processes kept busy meanwhile, 0.5 for half of one
     * @param bandwidth read bandwidth measured between the rounds, bytes a second
     * @param flops FMA peak measured between the rounds, operations a second
     */
    record Timed(
            GemmCase gemm,
            int copies,
            long storedBytes,
            long layerBytes,
            Samples nanos,
            double firstRound,
            double lastRound,
            double allocatedPerCall,
            double worstError,
            boolean steady,
            double othersProcessors,
            Samples bandwidth,
            Samples flops)
            implements GemmResult {
        /** Median time of one call. */
        public double seconds() {
            return nanos.median() * 1e-9;
        }

        /** How far the medians of the first and the last round lie apart, as a part of the median of all. */
        public double noise() {
            return Math.abs(lastRound - firstRound) / nanos.median();
        }

        /** Weight bytes a second, as the scheme stores them. */
        public double bytesPerSecond() {
            return storedBytes / seconds();
        }

        /** Multiplications and additions a second: 2·M·N·K / t. */
        public double flopsPerSecond() {
            return gemm.flops() / seconds();
        }

        /** True where the read bandwidth is the yardstick (M = 1), false where the FMA peak is. */
        public boolean againstBandwidth() {
            return gemm.m() == 1;
        }

        /** The part of the yardstick reached. */
        public double ofLimit() {
            return againstBandwidth() ? bytesPerSecond() / bandwidth.median() : flopsPerSecond() / flops.median();
        }

        /**
         * True where the ratio says nothing: other processes took a tenth of a processor or more, or the product was
         * faster than its limit allows, so that the limit cannot be right.
         */
        public boolean disturbed() {
            return othersProcessors >= 0.1 || ofRoofline() > 1.05 || ofLimit() > 1.05;
        }

        /** The least time that both limits together allow, as a part of the time taken. */
        public double ofRoofline() {
            double least = Math.max(storedBytes / bandwidth.median(), gemm.flops() / flops.median());
            return least / seconds();
        }

        /** True where the roofline's flat part, the FMA peak, is what bounds the case. */
        public boolean boundByFlops() {
            return gemm.flops() / flops.median() > storedBytes / bandwidth.median();
        }
    }
}
