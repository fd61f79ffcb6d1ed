/**
 * The catalogue of kernels: which there are, which one serves a scheme and a shape on a device, and its arguments.
 *
 * <p>To add one: a source file in {@code kernels-cuda} (with a line {@code // architectures: 90a} where it is for Hopper
 * alone) and {@code build.sh}; a {@link io.lowbit.cuda.kernels.ProductKernel} in {@link io.lowbit.cuda.kernels.Catalogue}; a
 * {@link io.lowbit.cuda.kernels.WeightLayout} there too where it reads weights in an order of its own, with its
 * {@code value()} in {@code weights.cuh}; lines in {@code choice.txt} once it is measured. The device tests then force it
 * over every case that it says it supports.
 */
package io.lowbit.cuda.kernels;
