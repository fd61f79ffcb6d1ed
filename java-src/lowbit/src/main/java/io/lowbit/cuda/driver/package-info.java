/**
 * The CUDA driver with types: every call checked, every handle owned and closeable. Knows nothing of quantization.
 *
 * <p>A context is bound to the calling thread for the length of one call and unbound after it, so any thread may call,
 * virtual ones too, and a caller's own current context is left as it was. Between binding and unbinding nothing waits
 * on a lock: a virtual thread could be moved to another carrier there.
 */
package io.lowbit.cuda.driver;
