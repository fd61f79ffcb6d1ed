/** The catalogue of kernels: which there are, which one serves a scheme and a shape on a device, and its arguments. */
package io.lowbit.cuda.kernels;
