/**
 * Calibrated quantization of a Llama-family model: text runs through the model layer by layer, each layer's inputs are
 * summed up, and its weights are quantized with the layers in front of it already quantized.
 */
package io.lowbit.llm.calibrate;
