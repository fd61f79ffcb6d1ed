/**
 * The CUDA backend. {@link io.lowbit.cuda.CudaLinear} also works on tensors that lie on the device already, on the
 * caller's stream, for programs that keep their activations there or capture graphs.
 */
package io.lowbit.cuda;
