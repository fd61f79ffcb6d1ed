package io.lowbit.llm.calibrate;

import java.util.Locale;

/** How codes and scales are chosen. */
public enum Algorithm {
    /** Round to nearest. */
    RTN(false),
    /** Round to nearest in the clipping range of least weight error. INT4. */
    MSE(false),
    /** Half-quadratic, from the weights alone. INT4. */
    HQQ(false),
    /** Column by column, errors made good in later columns. INT4; needs calibration text. */
    GPTQ(true),
    /** Input features scaled by how large their activations are. INT4; needs calibration text. */
    AWQ(true);

    private final boolean calibrated;

    Algorithm(boolean calibrated) {
        this.calibrated = calibrated;
    }

    /** True where the model has to run over text. */
    public boolean calibrated() {
        return calibrated;
    }

    /** As on the command line. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
