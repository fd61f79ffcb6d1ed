/** Lowbit beside JCuda in one program: one context, one set of streams, the same device memory, nothing copied. */
package io.lowbit.jcuda;
