/** Whether this JVM runs the Vector API twins or the scalar code, at which width, and why. Depends on nothing. */
package io.lowbit.simd;
