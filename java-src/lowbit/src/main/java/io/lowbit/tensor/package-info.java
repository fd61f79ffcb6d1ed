/** Typed views of off-heap memory: element types, shapes, tensors. */
package io.lowbit.tensor;
