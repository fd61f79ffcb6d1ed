/**
 * Number formats: codes to floats and back. The scalar code here is the definition of each format; its Vector API
 * twins stand beside it and give the same bits.
 */
package io.lowbit.format;
