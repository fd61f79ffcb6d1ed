/** Schemes (how a matrix is quantized), the canonical layout of each, and the quantizers that make them. */
package io.lowbit.quant;
