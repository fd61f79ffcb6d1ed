package io.lowbit.cuda;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;

/**
 * A typed, shaped view of device memory: row-major, dense. Owns nothing; the memory may be ours or anybody's.
 *
 * @param dtype F32, F16 or BF16
 * @param shape dimensions, slowest first
 * @param address the {@code CUdeviceptr}, a multiple of the element size
 */
public record DeviceTensor(DType dtype, Shape shape, long address) {
    public DeviceTensor {
        if (dtype != DType.F32 && dtype != DType.F16 && dtype != DType.BF16) {
            throw new IllegalArgumentException("a device tensor is F32, F16 or BF16, not " + dtype);
        }
        if (address % (dtype.bits() / 8) != 0) {
            throw new IllegalArgumentException("device address 0x" + Long.toHexString(address) + " is not aligned to " + dtype);
        }
    }

    /** A view of the start of {@code memory}. */
    public static DeviceTensor of(DeviceMemory memory, DType dtype, long... dims) {
        Shape shape = Shape.of(dims);
        if (dtype.byteSize(shape.elements()) > memory.bytes()) {
            throw new IllegalArgumentException("a " + dtype + " tensor of shape " + shape + " takes " + dtype.byteSize(shape.elements())
                    + " bytes, the device memory has " + memory.bytes());
        }
        return new DeviceTensor(dtype, shape, memory.address());
    }

    /** Bytes from the address on. */
    public long bytes() {
        return dtype.byteSize(shape.elements());
    }
}
