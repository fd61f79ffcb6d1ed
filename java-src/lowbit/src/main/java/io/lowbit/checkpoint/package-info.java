/**
 * Files and layouts: safetensors (single and sharded), float weights out of ONNX, and the tensor names under which
 * other projects store quantized layers.
 */
package io.lowbit.checkpoint;
