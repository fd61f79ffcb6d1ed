package io.lowbit.jcuda;

import jcuda.NativePointerObject;
import jcuda.driver.CUdeviceptr;

/**
 * Reads the native values that JCuda's objects keep to themselves. JCuda shows them to subclasses: these are subclasses
 * that copy another object's value, through its protected copy constructors.
 */
final class Handles {
    private Handles() {}

    /** The handle in a stream, context, function, module or event; 0 where it was never set. */
    static long of(NativePointerObject object) {
        return new Handle(object).value();
    }

    /** The address that a device pointer stands for, its byte offset included. */
    static long of(CUdeviceptr pointer) {
        return new Address(pointer).value();
    }

    private static final class Handle extends NativePointerObject {
        Handle(NativePointerObject other) {
            super(other);
        }

        long value() {
            return getNativePointer();
        }
    }

    private static final class Address extends CUdeviceptr {
        Address(CUdeviceptr other) {
            super(other);
        }

        long value() {
            return getNativePointer() + getByteOffset();
        }
    }
}
