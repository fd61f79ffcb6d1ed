package io.lowbit.cpu;

import io.lowbit.simd.Species;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Micro-kernel of 1 to 6 rows of x by 4 vectors of W: up to 24 sums in registers, for machines with 32 of them. One column
 * costs 4 loads of weights and a broadcast for each row, shared by all products of the column.
 */
final class Tile4 {
    private static final VectorSpecies<Float> S = Species.FLOAT;
    private static final int LANES = Species.LANES;
    private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;

    private Tile4() {}

    /**
     * Adds {@code k} columns' products to {@code rows} rows of sums.
     *
     * @param a x packed [k][rows], from element {@code a0} on
     * @param b decoded weights; vector v of column i at byte {@code bv + 64·i}
     * @param c sums; vector v of row r from element {@code c0 + r·stride + v·}lanes on
     */
    static void add(int rows, float[] a, int a0, MemorySegment b, long b0, long b1, long b2, long b3, float[] c, int c0, int stride, int k) {
        switch (rows) {
            case 1 -> add1(a, a0, b, b0, b1, b2, b3, c, c0, stride, k);
            case 2 -> add2(a, a0, b, b0, b1, b2, b3, c, c0, stride, k);
            case 3 -> add3(a, a0, b, b0, b1, b2, b3, c, c0, stride, k);
            case 4 -> add4(a, a0, b, b0, b1, b2, b3, c, c0, stride, k);
            case 5 -> add5(a, a0, b, b0, b1, b2, b3, c, c0, stride, k);
            case 6 -> add6(a, a0, b, b0, b1, b2, b3, c, c0, stride, k);
            default -> throw new IllegalArgumentException(rows + " rows: expected 1 to 6");
        }
    }

    private static void add1(float[] a, int a0, MemorySegment b, long b0, long b1, long b2, long b3, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s02 = FloatVector.fromArray(S, c, c0 + 2 * LANES);
        FloatVector s03 = FloatVector.fromArray(S, c, c0 + 3 * LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 1;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector w2 = FloatVector.fromMemorySegment(S, b, b2 + bo, LE);
            FloatVector w3 = FloatVector.fromMemorySegment(S, b, b3 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            s02 = x.fma(w2, s02);
            s03 = x.fma(w3, s03);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s02.intoArray(c, c0 + 2 * LANES);
        s03.intoArray(c, c0 + 3 * LANES);
    }

    private static void add2(float[] a, int a0, MemorySegment b, long b0, long b1, long b2, long b3, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s02 = FloatVector.fromArray(S, c, c0 + 2 * LANES);
        FloatVector s03 = FloatVector.fromArray(S, c, c0 + 3 * LANES);
        FloatVector s10 = FloatVector.fromArray(S, c, c0 + stride);
        FloatVector s11 = FloatVector.fromArray(S, c, c0 + stride + LANES);
        FloatVector s12 = FloatVector.fromArray(S, c, c0 + stride + 2 * LANES);
        FloatVector s13 = FloatVector.fromArray(S, c, c0 + stride + 3 * LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 2;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector w2 = FloatVector.fromMemorySegment(S, b, b2 + bo, LE);
            FloatVector w3 = FloatVector.fromMemorySegment(S, b, b3 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            s02 = x.fma(w2, s02);
            s03 = x.fma(w3, s03);
            x = FloatVector.broadcast(S, a[ao + 1]);
            s10 = x.fma(w0, s10);
            s11 = x.fma(w1, s11);
            s12 = x.fma(w2, s12);
            s13 = x.fma(w3, s13);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s02.intoArray(c, c0 + 2 * LANES);
        s03.intoArray(c, c0 + 3 * LANES);
        s10.intoArray(c, c0 + stride);
        s11.intoArray(c, c0 + stride + LANES);
        s12.intoArray(c, c0 + stride + 2 * LANES);
        s13.intoArray(c, c0 + stride + 3 * LANES);
    }

    private static void add3(float[] a, int a0, MemorySegment b, long b0, long b1, long b2, long b3, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s02 = FloatVector.fromArray(S, c, c0 + 2 * LANES);
        FloatVector s03 = FloatVector.fromArray(S, c, c0 + 3 * LANES);
        FloatVector s10 = FloatVector.fromArray(S, c, c0 + stride);
        FloatVector s11 = FloatVector.fromArray(S, c, c0 + stride + LANES);
        FloatVector s12 = FloatVector.fromArray(S, c, c0 + stride + 2 * LANES);
        FloatVector s13 = FloatVector.fromArray(S, c, c0 + stride + 3 * LANES);
        FloatVector s20 = FloatVector.fromArray(S, c, c0 + 2 * stride);
        FloatVector s21 = FloatVector.fromArray(S, c, c0 + 2 * stride + LANES);
        FloatVector s22 = FloatVector.fromArray(S, c, c0 + 2 * stride + 2 * LANES);
        FloatVector s23 = FloatVector.fromArray(S, c, c0 + 2 * stride + 3 * LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 3;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector w2 = FloatVector.fromMemorySegment(S, b, b2 + bo, LE);
            FloatVector w3 = FloatVector.fromMemorySegment(S, b, b3 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            s02 = x.fma(w2, s02);
            s03 = x.fma(w3, s03);
            x = FloatVector.broadcast(S, a[ao + 1]);
            s10 = x.fma(w0, s10);
            s11 = x.fma(w1, s11);
            s12 = x.fma(w2, s12);
            s13 = x.fma(w3, s13);
            x = FloatVector.broadcast(S, a[ao + 2]);
            s20 = x.fma(w0, s20);
            s21 = x.fma(w1, s21);
            s22 = x.fma(w2, s22);
            s23 = x.fma(w3, s23);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s02.intoArray(c, c0 + 2 * LANES);
        s03.intoArray(c, c0 + 3 * LANES);
        s10.intoArray(c, c0 + stride);
        s11.intoArray(c, c0 + stride + LANES);
        s12.intoArray(c, c0 + stride + 2 * LANES);
        s13.intoArray(c, c0 + stride + 3 * LANES);
        s20.intoArray(c, c0 + 2 * stride);
        s21.intoArray(c, c0 + 2 * stride + LANES);
        s22.intoArray(c, c0 + 2 * stride + 2 * LANES);
        s23.intoArray(c, c0 + 2 * stride + 3 * LANES);
    }

    private static void add4(float[] a, int a0, MemorySegment b, long b0, long b1, long b2, long b3, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s02 = FloatVector.fromArray(S, c, c0 + 2 * LANES);
        FloatVector s03 = FloatVector.fromArray(S, c, c0 + 3 * LANES);
        FloatVector s10 = FloatVector.fromArray(S, c, c0 + stride);
        FloatVector s11 = FloatVector.fromArray(S, c, c0 + stride + LANES);
        FloatVector s12 = FloatVector.fromArray(S, c, c0 + stride + 2 * LANES);
        FloatVector s13 = FloatVector.fromArray(S, c, c0 + stride + 3 * LANES);
        FloatVector s20 = FloatVector.fromArray(S, c, c0 + 2 * stride);
        FloatVector s21 = FloatVector.fromArray(S, c, c0 + 2 * stride + LANES);
        FloatVector s22 = FloatVector.fromArray(S, c, c0 + 2 * stride + 2 * LANES);
        FloatVector s23 = FloatVector.fromArray(S, c, c0 + 2 * stride + 3 * LANES);
        FloatVector s30 = FloatVector.fromArray(S, c, c0 + 3 * stride);
        FloatVector s31 = FloatVector.fromArray(S, c, c0 + 3 * stride + LANES);
        FloatVector s32 = FloatVector.fromArray(S, c, c0 + 3 * stride + 2 * LANES);
        FloatVector s33 = FloatVector.fromArray(S, c, c0 + 3 * stride + 3 * LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 4;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector w2 = FloatVector.fromMemorySegment(S, b, b2 + bo, LE);
            FloatVector w3 = FloatVector.fromMemorySegment(S, b, b3 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            s02 = x.fma(w2, s02);
            s03 = x.fma(w3, s03);
            x = FloatVector.broadcast(S, a[ao + 1]);
            s10 = x.fma(w0, s10);
            s11 = x.fma(w1, s11);
            s12 = x.fma(w2, s12);
            s13 = x.fma(w3, s13);
            x = FloatVector.broadcast(S, a[ao + 2]);
            s20 = x.fma(w0, s20);
            s21 = x.fma(w1, s21);
            s22 = x.fma(w2, s22);
            s23 = x.fma(w3, s23);
            x = FloatVector.broadcast(S, a[ao + 3]);
            s30 = x.fma(w0, s30);
            s31 = x.fma(w1, s31);
            s32 = x.fma(w2, s32);
            s33 = x.fma(w3, s33);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s02.intoArray(c, c0 + 2 * LANES);
        s03.intoArray(c, c0 + 3 * LANES);
        s10.intoArray(c, c0 + stride);
        s11.intoArray(c, c0 + stride + LANES);
        s12.intoArray(c, c0 + stride + 2 * LANES);
        s13.intoArray(c, c0 + stride + 3 * LANES);
        s20.intoArray(c, c0 + 2 * stride);
        s21.intoArray(c, c0 + 2 * stride + LANES);
        s22.intoArray(c, c0 + 2 * stride + 2 * LANES);
        s23.intoArray(c, c0 + 2 * stride + 3 * LANES);
        s30.intoArray(c, c0 + 3 * stride);
        s31.intoArray(c, c0 + 3 * stride + LANES);
        s32.intoArray(c, c0 + 3 * stride + 2 * LANES);
        s33.intoArray(c, c0 + 3 * stride + 3 * LANES);
    }

    private static void add5(float[] a, int a0, MemorySegment b, long b0, long b1, long b2, long b3, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s02 = FloatVector.fromArray(S, c, c0 + 2 * LANES);
        FloatVector s03 = FloatVector.fromArray(S, c, c0 + 3 * LANES);
        FloatVector s10 = FloatVector.fromArray(S, c, c0 + stride);
        FloatVector s11 = FloatVector.fromArray(S, c, c0 + stride + LANES);
        FloatVector s12 = FloatVector.fromArray(S, c, c0 + stride + 2 * LANES);
        FloatVector s13 = FloatVector.fromArray(S, c, c0 + stride + 3 * LANES);
        FloatVector s20 = FloatVector.fromArray(S, c, c0 + 2 * stride);
        FloatVector s21 = FloatVector.fromArray(S, c, c0 + 2 * stride + LANES);
        FloatVector s22 = FloatVector.fromArray(S, c, c0 + 2 * stride + 2 * LANES);
        FloatVector s23 = FloatVector.fromArray(S, c, c0 + 2 * stride + 3 * LANES);
        FloatVector s30 = FloatVector.fromArray(S, c, c0 + 3 * stride);
        FloatVector s31 = FloatVector.fromArray(S, c, c0 + 3 * stride + LANES);
        FloatVector s32 = FloatVector.fromArray(S, c, c0 + 3 * stride + 2 * LANES);
        FloatVector s33 = FloatVector.fromArray(S, c, c0 + 3 * stride + 3 * LANES);
        FloatVector s40 = FloatVector.fromArray(S, c, c0 + 4 * stride);
        FloatVector s41 = FloatVector.fromArray(S, c, c0 + 4 * stride + LANES);
        FloatVector s42 = FloatVector.fromArray(S, c, c0 + 4 * stride + 2 * LANES);
        FloatVector s43 = FloatVector.fromArray(S, c, c0 + 4 * stride + 3 * LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 5;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector w2 = FloatVector.fromMemorySegment(S, b, b2 + bo, LE);
            FloatVector w3 = FloatVector.fromMemorySegment(S, b, b3 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            s02 = x.fma(w2, s02);
            s03 = x.fma(w3, s03);
            x = FloatVector.broadcast(S, a[ao + 1]);
            s10 = x.fma(w0, s10);
            s11 = x.fma(w1, s11);
            s12 = x.fma(w2, s12);
            s13 = x.fma(w3, s13);
            x = FloatVector.broadcast(S, a[ao + 2]);
            s20 = x.fma(w0, s20);
            s21 = x.fma(w1, s21);
            s22 = x.fma(w2, s22);
            s23 = x.fma(w3, s23);
            x = FloatVector.broadcast(S, a[ao + 3]);
            s30 = x.fma(w0, s30);
            s31 = x.fma(w1, s31);
            s32 = x.fma(w2, s32);
            s33 = x.fma(w3, s33);
            x = FloatVector.broadcast(S, a[ao + 4]);
            s40 = x.fma(w0, s40);
            s41 = x.fma(w1, s41);
            s42 = x.fma(w2, s42);
            s43 = x.fma(w3, s43);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s02.intoArray(c, c0 + 2 * LANES);
        s03.intoArray(c, c0 + 3 * LANES);
        s10.intoArray(c, c0 + stride);
        s11.intoArray(c, c0 + stride + LANES);
        s12.intoArray(c, c0 + stride + 2 * LANES);
        s13.intoArray(c, c0 + stride + 3 * LANES);
        s20.intoArray(c, c0 + 2 * stride);
        s21.intoArray(c, c0 + 2 * stride + LANES);
        s22.intoArray(c, c0 + 2 * stride + 2 * LANES);
        s23.intoArray(c, c0 + 2 * stride + 3 * LANES);
        s30.intoArray(c, c0 + 3 * stride);
        s31.intoArray(c, c0 + 3 * stride + LANES);
        s32.intoArray(c, c0 + 3 * stride + 2 * LANES);
        s33.intoArray(c, c0 + 3 * stride + 3 * LANES);
        s40.intoArray(c, c0 + 4 * stride);
        s41.intoArray(c, c0 + 4 * stride + LANES);
        s42.intoArray(c, c0 + 4 * stride + 2 * LANES);
        s43.intoArray(c, c0 + 4 * stride + 3 * LANES);
    }

    private static void add6(float[] a, int a0, MemorySegment b, long b0, long b1, long b2, long b3, float[] c, int c0, int stride, int k) {
        FloatVector s00 = FloatVector.fromArray(S, c, c0);
        FloatVector s01 = FloatVector.fromArray(S, c, c0 + LANES);
        FloatVector s02 = FloatVector.fromArray(S, c, c0 + 2 * LANES);
        FloatVector s03 = FloatVector.fromArray(S, c, c0 + 3 * LANES);
        FloatVector s10 = FloatVector.fromArray(S, c, c0 + stride);
        FloatVector s11 = FloatVector.fromArray(S, c, c0 + stride + LANES);
        FloatVector s12 = FloatVector.fromArray(S, c, c0 + stride + 2 * LANES);
        FloatVector s13 = FloatVector.fromArray(S, c, c0 + stride + 3 * LANES);
        FloatVector s20 = FloatVector.fromArray(S, c, c0 + 2 * stride);
        FloatVector s21 = FloatVector.fromArray(S, c, c0 + 2 * stride + LANES);
        FloatVector s22 = FloatVector.fromArray(S, c, c0 + 2 * stride + 2 * LANES);
        FloatVector s23 = FloatVector.fromArray(S, c, c0 + 2 * stride + 3 * LANES);
        FloatVector s30 = FloatVector.fromArray(S, c, c0 + 3 * stride);
        FloatVector s31 = FloatVector.fromArray(S, c, c0 + 3 * stride + LANES);
        FloatVector s32 = FloatVector.fromArray(S, c, c0 + 3 * stride + 2 * LANES);
        FloatVector s33 = FloatVector.fromArray(S, c, c0 + 3 * stride + 3 * LANES);
        FloatVector s40 = FloatVector.fromArray(S, c, c0 + 4 * stride);
        FloatVector s41 = FloatVector.fromArray(S, c, c0 + 4 * stride + LANES);
        FloatVector s42 = FloatVector.fromArray(S, c, c0 + 4 * stride + 2 * LANES);
        FloatVector s43 = FloatVector.fromArray(S, c, c0 + 4 * stride + 3 * LANES);
        FloatVector s50 = FloatVector.fromArray(S, c, c0 + 5 * stride);
        FloatVector s51 = FloatVector.fromArray(S, c, c0 + 5 * stride + LANES);
        FloatVector s52 = FloatVector.fromArray(S, c, c0 + 5 * stride + 2 * LANES);
        FloatVector s53 = FloatVector.fromArray(S, c, c0 + 5 * stride + 3 * LANES);
        for (int i = 0; i < k; i++) {
            long bo = (long) i * 64;
            int ao = a0 + i * 6;
            FloatVector w0 = FloatVector.fromMemorySegment(S, b, b0 + bo, LE);
            FloatVector w1 = FloatVector.fromMemorySegment(S, b, b1 + bo, LE);
            FloatVector w2 = FloatVector.fromMemorySegment(S, b, b2 + bo, LE);
            FloatVector w3 = FloatVector.fromMemorySegment(S, b, b3 + bo, LE);
            FloatVector x = FloatVector.broadcast(S, a[ao]);
            s00 = x.fma(w0, s00);
            s01 = x.fma(w1, s01);
            s02 = x.fma(w2, s02);
            s03 = x.fma(w3, s03);
            x = FloatVector.broadcast(S, a[ao + 1]);
            s10 = x.fma(w0, s10);
            s11 = x.fma(w1, s11);
            s12 = x.fma(w2, s12);
            s13 = x.fma(w3, s13);
            x = FloatVector.broadcast(S, a[ao + 2]);
            s20 = x.fma(w0, s20);
            s21 = x.fma(w1, s21);
            s22 = x.fma(w2, s22);
            s23 = x.fma(w3, s23);
            x = FloatVector.broadcast(S, a[ao + 3]);
            s30 = x.fma(w0, s30);
            s31 = x.fma(w1, s31);
            s32 = x.fma(w2, s32);
            s33 = x.fma(w3, s33);
            x = FloatVector.broadcast(S, a[ao + 4]);
            s40 = x.fma(w0, s40);
            s41 = x.fma(w1, s41);
            s42 = x.fma(w2, s42);
            s43 = x.fma(w3, s43);
            x = FloatVector.broadcast(S, a[ao + 5]);
            s50 = x.fma(w0, s50);
            s51 = x.fma(w1, s51);
            s52 = x.fma(w2, s52);
            s53 = x.fma(w3, s53);
        }
        s00.intoArray(c, c0);
        s01.intoArray(c, c0 + LANES);
        s02.intoArray(c, c0 + 2 * LANES);
        s03.intoArray(c, c0 + 3 * LANES);
        s10.intoArray(c, c0 + stride);
        s11.intoArray(c, c0 + stride + LANES);
        s12.intoArray(c, c0 + stride + 2 * LANES);
        s13.intoArray(c, c0 + stride + 3 * LANES);
        s20.intoArray(c, c0 + 2 * stride);
        s21.intoArray(c, c0 + 2 * stride + LANES);
        s22.intoArray(c, c0 + 2 * stride + 2 * LANES);
        s23.intoArray(c, c0 + 2 * stride + 3 * LANES);
        s30.intoArray(c, c0 + 3 * stride);
        s31.intoArray(c, c0 + 3 * stride + LANES);
        s32.intoArray(c, c0 + 3 * stride + 2 * LANES);
        s33.intoArray(c, c0 + 3 * stride + 3 * LANES);
        s40.intoArray(c, c0 + 4 * stride);
        s41.intoArray(c, c0 + 4 * stride + LANES);
        s42.intoArray(c, c0 + 4 * stride + 2 * LANES);
        s43.intoArray(c, c0 + 4 * stride + 3 * LANES);
        s50.intoArray(c, c0 + 5 * stride);
        s51.intoArray(c, c0 + 5 * stride + LANES);
        s52.intoArray(c, c0 + 5 * stride + 2 * LANES);
        s53.intoArray(c, c0 + 5 * stride + 3 * LANES);
    }
}
