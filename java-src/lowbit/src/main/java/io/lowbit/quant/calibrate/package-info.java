/**
 * INT4 chosen with more than the weights: GPTQ and AWQ from calibration inputs, HQQ from the weights alone. All give the
 * same bits for any number of threads.
 */
package io.lowbit.quant.calibrate;
