package io.lowbit.llm.calibrate;

import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.calibrate.AwqOptions;
import io.lowbit.quant.calibrate.GptqOptions;
import io.lowbit.quant.calibrate.HqqOptions;

/**
 * How a model is quantized.
 *
 * @param algorithm for the layers that the recipe makes INT4 with a scale for a channel or a group; all others are rounded
 * @param rounding of those others
 * @param threads worker threads, at least 1; changes no bit of the result
 */
public record CalibrationOptions(Algorithm algorithm, Recipe recipe, GptqOptions gptq, AwqOptions awq, HqqOptions hqq, QuantizeOptions rounding,
        int threads) {
    public CalibrationOptions {
        gptq = gptq.withThreads(threads);
        awq = awq.withThreads(threads);
        hqq = hqq.withThreads(threads);
        rounding = rounding.withThreads(threads);
    }

    /** With the defaults of every algorithm. */
    public CalibrationOptions(Algorithm algorithm, Recipe recipe, int threads) {
        this(algorithm, recipe, GptqOptions.DEFAULT, AwqOptions.DEFAULT, HqqOptions.DEFAULT, QuantizeOptions.DEFAULT, threads);
    }

    public CalibrationOptions withRecipe(Recipe value) {
        return new CalibrationOptions(algorithm, value, gptq, awq, hqq, rounding, threads);
    }

    public CalibrationOptions withGptq(GptqOptions value) {
        return new CalibrationOptions(algorithm, recipe, value, awq, hqq, rounding, threads);
    }

    public CalibrationOptions withRounding(QuantizeOptions value) {
        return new CalibrationOptions(algorithm, recipe, gptq, awq, hqq, value, threads);
    }
}
