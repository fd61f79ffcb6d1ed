package io.lowbit.llm.calibrate;

import io.lowbit.quant.Scheme;
import io.lowbit.quant.calibrate.AwqOptions;
import io.lowbit.quant.calibrate.GptqOptions;

/**
 * How a model is calibrated.
 *
 * @param algorithm {@link Algorithm#GPTQ} or {@link Algorithm#AWQ}
 * @param scheme INT4 per channel or group
 * @param threads worker threads, at least 1; changes no bit of the result
 */
public record CalibrationOptions(Algorithm algorithm, Scheme.Int4 scheme, GptqOptions gptq, AwqOptions awq, int threads) {
    public CalibrationOptions {
        if (!algorithm.calibrated()) {
            throw new IllegalArgumentException(algorithm.label() + " needs no calibration; use gptq or awq");
        }
        gptq = gptq.withThreads(threads);
        awq = awq.withThreads(threads);
    }

    /** With the defaults of both algorithms. */
    public CalibrationOptions(Algorithm algorithm, Scheme.Int4 scheme, int threads) {
        this(algorithm, scheme, GptqOptions.DEFAULT, AwqOptions.DEFAULT, threads);
    }
}
