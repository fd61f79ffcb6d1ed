package io.lowbit.quant;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;

/**
 * bitsandbytes' doubly quantized absmax: absmax[i] = map[codes[i]] · absmaxOfAbsmax[i / 256] + offset, multiplied and
 * added in f32 with a rounding each.
 *
 * @param codes U8 {@code [blocks]}
 * @param absmax F32 {@code [ceil(blocks / 256)]}
 * @param map F32 {@code [256]}, as stored in the file: it is not a constant of the format
 * @param offset the mean that was taken off before quantizing
 */
public record NestedScales(Tensor codes, Tensor absmax, Tensor map, float offset) {
    /** Blocks that share one nested absmax. */
    public static final int BLOCK = 256;

    public NestedScales {
        long blocks = codes.elements();
        if (codes.dtype() != DType.U8 || absmax.dtype() != DType.F32 || map.dtype() != DType.F32) {
            throw new IllegalArgumentException("nested scales: expected U8 codes, F32 absmax and F32 map, got "
                    + codes.dtype() + ", " + absmax.dtype() + " and " + map.dtype());
        }
        if (absmax.elements() != Math.ceilDiv(blocks, (long) BLOCK) || map.elements() != 256) {
            throw new IllegalArgumentException("nested scales of " + blocks + " blocks: expected " + Math.ceilDiv(blocks, (long) BLOCK)
                    + " nested absmax and a map of 256, got " + absmax.elements() + " and " + map.elements());
        }
        if (!Float.isFinite(offset)) {
            throw new IllegalArgumentException("nested scales: offset " + offset + " is not finite");
        }
    }

    /** The decoded absmax of block {@code index}. */
    public float scale(long index) {
        return map.getFloat(codes.getByte(index)) * absmax.getFloat(index / BLOCK) + offset;
    }
}
