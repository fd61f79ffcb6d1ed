/**
 * Files and layouts: safetensors (single and sharded), GGUF, float weights out of ONNX, and the tensor names under which
 * other projects store quantized layers.
 */
package io.lowbit.checkpoint;
