package io.lowbit.llm.calibrate;

import io.lowbit.quant.Scheme;

/**
 * One layer in one scheme, alone in the otherwise unchanged model.
 *
 * @param layer its name
 * @param scheme {@link Scheme.Dense} for the layer as it is stored
 * @param bytes of codes and scales
 * @param outputError relative squared error of the layer's output on the calibration text
 * @param loss what that is predicted to add to the mean negative log-likelihood, in nats
 * @param seconds of one product with one row on the backend
 */
public record Choice(String layer, Scheme scheme, long bytes, double outputError, double loss, double seconds) {}
