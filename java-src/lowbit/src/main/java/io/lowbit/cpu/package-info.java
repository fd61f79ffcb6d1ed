/**
 * The CPU backend: a scalar reference and Vector API kernels behind one class, on a fixed pool of threads.
 *
 * <p>Weights are repacked once, at load, into panels of 16 output rows (see {@link io.lowbit.cpu.Panels}). One product
 * row (M = 1) multiplies straight from the packed codes; more rows decode a tile of weights into cache and run a
 * register-blocked micro-kernel over it.
 */
package io.lowbit.cpu;
