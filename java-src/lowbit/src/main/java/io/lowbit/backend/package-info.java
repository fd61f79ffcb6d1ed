/** The seam between weights and hardware: backends load quantized matrices and give back linear layers. */
package io.lowbit.backend;
