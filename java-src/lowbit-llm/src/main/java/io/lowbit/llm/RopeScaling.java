package io.lowbit.llm;

/**
 * How rotary frequencies are stretched for contexts longer than the original training ({@code rope_type} of
 * transformers).
 */
public sealed interface RopeScaling {
    /** The frequency that replaces {@code frequency} (radians a position). */
    double scale(double frequency);

    /** {@code default}: unchanged. */
    record None() implements RopeScaling {
        @Override
        public double scale(double frequency) {
            return frequency;
        }
    }

    /** {@code linear}: every frequency divided by {@code factor}. */
    record Linear(double factor) implements RopeScaling {
        @Override
        public double scale(double frequency) {
            return frequency / factor;
        }
    }

    /**
     * {@code llama3}: wavelengths longer than {@code originalContext / lowFactor} are divided by {@code factor}, those
     * shorter than {@code originalContext / highFactor} are kept, and those between are blended (Llama 3.1).
     */
    record Llama3(double factor, double lowFactor, double highFactor, double originalContext) implements RopeScaling {
        @Override
        public double scale(double frequency) {
            double wavelength = 2 * Math.PI / frequency;
            if (wavelength < originalContext / highFactor) {
                return frequency;
            }
            if (wavelength > originalContext / lowFactor) {
                return frequency / factor;
            }
            double keep = (originalContext / wavelength - lowFactor) / (highFactor - lowFactor);
            return (1 - keep) * frequency / factor + keep * frequency;
        }
    }
}
