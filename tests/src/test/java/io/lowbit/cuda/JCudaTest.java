package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.jcuda.JCudaInterop;
import io.lowbit.tensor.DType;
import jcuda.driver.CUdeviceptr;
import org.junit.jupiter.api.Test;

/** What needs neither a GPU nor JCuda's native library. */
class JCudaTest {
    @Test
    void addressesGoThereAndBack() {
        for (long address : new long[] {256, 0x7f12_3456_7800L, 0xffff_ffff_ffff_ff00L}) {
            assertEquals(address, JCudaInterop.address(JCudaInterop.pointer(address)));
            assertEquals(address + 16, JCudaInterop.address(JCudaInterop.pointer(address).withByteOffset(16)));
        }
        DeviceTensor tensor = JCudaInterop.tensor(JCudaInterop.pointer(4096).withByteOffset(64), DType.BF16, 3, 5);
        assertEquals(4160, tensor.address());
        assertEquals(30, tensor.bytes());
        assertEquals(JCudaInterop.pointer(4160), JCudaInterop.pointer(tensor));
    }

    @Test
    void nullAndMisalignedPointersAreRefused() {
        String message = assertThrows(IllegalArgumentException.class, () -> JCudaInterop.tensor(new CUdeviceptr(), DType.F32, 1)).getMessage();
        assertTrue(message.contains("CUdeviceptr is null"), message);
        assertThrows(IllegalArgumentException.class, () -> JCudaInterop.tensor(JCudaInterop.pointer(4098), DType.F32, 1));
        assertThrows(IllegalArgumentException.class, () -> JCudaInterop.tensor(JCudaInterop.pointer(4096), DType.U8, 1));
    }
}
