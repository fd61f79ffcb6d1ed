package io.lowbit.cpu;

import io.lowbit.simd.Species;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Micro-kernel of 1 to 6 rows of x by 2 vectors of W: up to 12 sums, 2 weights and a broadcast, which is what fits into the
 * 16 registers of AVX2 and NEON.
 */
final class Tile2 {
    private static final VectorSpecies<Float> S = Species.FLOAT;
    private static final int LANES = Species.LANES;
    private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;

    private Tile2() {}

    /**
     * Adds {@code k} columns' products to {@code rows} rows of sums.
     *
     * @param a x packed [k][rows], from element {@code a0} on
     * @param b decoded weights; vector v of column i at byte {@code bv + 64·i}
     * @param c sums; vector v of row r from element {@code c0 + r·stride + v·}lanes on
     */
    static void add(int rows, float[] a, int a0, MemorySegment b, long b0, long b1, float[] c, int c0, int stride, int k) {
        switch (rows) {
            case 1 -> add1(a, a0, b, b0, b1, c, c0, stride, k);
            case 2 -> add2(a, a0, b, b0, b1, c, c0, stride, k);
            case 3 -> add3(a, a0, b, b0, b1, c, c0, stride, k);
            case 4 -> add4(a, a0, b, b0, b1, c, c0, stride, k);
            case 5 -> add5(a, a0, b, b0, b1, c, c0, stride, k);
            case 6 -> add6(a, a0, b, b0, b1, c, c0, stride, k);
            default -> throw new IllegalArgumentException(rows + " rows: expected 1 to 6");
        }
    }

    private static void add1(float[] a, int a0, MemorySegment b, long b0, long b1, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 1;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
    }

    private static void add2(float[] a, int a0, MemorySegment b, long b0, long b1, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s10 = FloatVector.fromArray(S, c, c0 + stride);
        FloatVector s11 = FloatVector.fromArray(S, c, c0 + stride + LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 2;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            x = FloatVector.broadcast(S, a[ao + 1]);
            s10 = x.fma(w0, s10);
            s11 = x.fma(w1, s11);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s10.intoArray(c, c0 + stride);
        s11.intoArray(c, c0 + stride + LANES);
    }

    private static void add3(float[] a, int a0, MemorySegment b, long b0, long b1, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s10 = FloatVector.fromArray(S, c, c0 + stride);
        FloatVector s11 = FloatVector.fromArray(S, c, c0 + stride + LANES);
        FloatVector s20 = FloatVector.fromArray(S, c, c0 + 2 * stride);
        FloatVector s21 = FloatVector.fromArray(S, c, c0 + 2 * stride + LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 3;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            x = FloatVector.broadcast(S, a[ao + 1]);
            s10 = x.fma(w0, s10);
            s11 = x.fma(w1, s11);
            x = FloatVector.broadcast(S, a[ao + 2]);
            s20 = x.fma(w0, s20);
            s21 = x.fma(w1, s21);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s10.intoArray(c, c0 + stride);
        s11.intoArray(c, c0 + stride + LANES);
        s20.intoArray(c, c0 + 2 * stride);
        s21.intoArray(c, c0 + 2 * stride + LANES);
    }

    private static void add4(float[] a, int a0, MemorySegment b, long b0, long b1, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s10 = FloatVector.fromArray(S, c, c0 + stride);
        FloatVector s11 = FloatVector.fromArray(S, c, c0 + stride + LANES);
        FloatVector s20 = FloatVector.fromArray(S, c, c0 + 2 * stride);
        FloatVector s21 = FloatVector.fromArray(S, c, c0 + 2 * stride + LANES);
        FloatVector s30 = FloatVector.fromArray(S, c, c0 + 3 * stride);
        FloatVector s31 = FloatVector.fromArray(S, c, c0 + 3 * stride + LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 4;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            x = FloatVector.broadcast(S, a[ao + 1]);
            s10 = x.fma(w0, s10);
            s11 = x.fma(w1, s11);
            x = FloatVector.broadcast(S, a[ao + 2]);
            s20 = x.fma(w0, s20);
            s21 = x.fma(w1, s21);
            x = FloatVector.broadcast(S, a[ao + 3]);
            s30 = x.fma(w0, s30);
            s31 = x.fma(w1, s31);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s10.intoArray(c, c0 + stride);
        s11.intoArray(c, c0 + stride + LANES);
        s20.intoArray(c, c0 + 2 * stride);
        s21.intoArray(c, c0 + 2 * stride + LANES);
        s30.intoArray(c, c0 + 3 * stride);
        s31.intoArray(c, c0 + 3 * stride + LANES);
    }

    private static void add5(float[] a, int a0, MemorySegment b, long b0, long b1, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s10 = FloatVector.fromArray(S, c, c0 + stride);
        FloatVector s11 = FloatVector.fromArray(S, c, c0 + stride + LANES);
        FloatVector s20 = FloatVector.fromArray(S, c, c0 + 2 * stride);
        FloatVector s21 = FloatVector.fromArray(S, c, c0 + 2 * stride + LANES);
        FloatVector s30 = FloatVector.fromArray(S, c, c0 + 3 * stride);
        FloatVector s31 = FloatVector.fromArray(S, c, c0 + 3 * stride + LANES);
        FloatVector s40 = FloatVector.fromArray(S, c, c0 + 4 * stride);
        FloatVector s41 = FloatVector.fromArray(S, c, c0 + 4 * stride + LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 5;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            x = FloatVector.broadcast(S, a[ao + 1]);
            s10 = x.fma(w0, s10);
            s11 = x.fma(w1, s11);
            x = FloatVector.broadcast(S, a[ao + 2]);
            s20 = x.fma(w0, s20);
            s21 = x.fma(w1, s21);
            x = FloatVector.broadcast(S, a[ao + 3]);
            s30 = x.fma(w0, s30);
            s31 = x.fma(w1, s31);
            x = FloatVector.broadcast(S, a[ao + 4]);
            s40 = x.fma(w0, s40);
            s41 = x.fma(w1, s41);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s10.intoArray(c, c0 + stride);
        s11.intoArray(c, c0 + stride + LANES);
        s20.intoArray(c, c0 + 2 * stride);
        s21.intoArray(c, c0 + 2 * stride + LANES);
        s30.intoArray(c, c0 + 3 * stride);
        s31.intoArray(c, c0 + 3 * stride + LANES);
        s40.intoArray(c, c0 + 4 * stride);
        s41.intoArray(c, c0 + 4 * stride + LANES);
    }

    private static void add6(float[] a, int a0, MemorySegment b, long b0, long b1, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s10 = FloatVector.fromArray(S, c, c0 + stride);
        FloatVector s11 = FloatVector.fromArray(S, c, c0 + stride + LANES);
        FloatVector s20 = FloatVector.fromArray(S, c, c0 + 2 * stride);
        FloatVector s21 = FloatVector.fromArray(S, c, c0 + 2 * stride + LANES);
        FloatVector s30 = FloatVector.fromArray(S, c, c0 + 3 * stride);
        FloatVector s31 = FloatVector.fromArray(S, c, c0 + 3 * stride + LANES);
        FloatVector s40 = FloatVector.fromArray(S, c, c0 + 4 * stride);
        FloatVector s41 = FloatVector.fromArray(S, c, c0 + 4 * stride + LANES);
        FloatVector s50 = FloatVector.fromArray(S, c, c0 + 5 * stride);
        FloatVector s51 = FloatVector.fromArray(S, c, c0 + 5 * stride + LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 6;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            x = FloatVector.broadcast(S, a[ao + 1]);
            s10 = x.fma(w0, s10);
            s11 = x.fma(w1, s11);
            x = FloatVector.broadcast(S, a[ao + 2]);
            s20 = x.fma(w0, s20);
            s21 = x.fma(w1, s21);
            x = FloatVector.broadcast(S, a[ao + 3]);
            s30 = x.fma(w0, s30);
            s31 = x.fma(w1, s31);
            x = FloatVector.broadcast(S, a[ao + 4]);
            s40 = x.fma(w0, s40);
            s41 = x.fma(w1, s41);
            x = FloatVector.broadcast(S, a[ao + 5]);
            s50 = x.fma(w0, s50);
            s51 = x.fma(w1, s51);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s10.intoArray(c, c0 + stride);
        s11.intoArray(c, c0 + stride + LANES);
        s20.intoArray(c, c0 + 2 * stride);
        s21.intoArray(c, c0 + 2 * stride + LANES);
        s30.intoArray(c, c0 + 3 * stride);
        s31.intoArray(c, c0 + 3 * stride + LANES);
        s40.intoArray(c, c0 + 4 * stride);
        s41.intoArray(c, c0 + 4 * stride + LANES);
        s50.intoArray(c, c0 + 5 * stride);
        s51.intoArray(c, c0 + 5 * stride + LANES);
    }
}
