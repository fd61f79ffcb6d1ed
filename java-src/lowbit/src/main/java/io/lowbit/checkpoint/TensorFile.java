package io.lowbit.checkpoint;

import io.lowbit.tensor.Tensor;
import java.io.IOException;

/** A file of declared tensors, written in any order, by several threads where each writes tensors of its own. */
interface TensorFile extends AutoCloseable {
    /** Writes a declared tensor whole. */
    void write(String name, Tensor tensor) throws IOException;

    /** Puts the file in place, on the disk for good; every tensor must have been written. */
    void commit() throws IOException;

    /** Without a {@link #commit()} before, removes what was written. */
    @Override
    void close() throws IOException;
}
