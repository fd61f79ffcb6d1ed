package io.lowbit.format;

import java.lang.foreign.MemorySegment;

/** The Vector API twins. Long runs go in parts, so that loops count with ints, which C2 unrolls and frees of checks. */
final class VectorCodecs implements Codecs {
    static final VectorCodecs INSTANCE = new VectorCodecs();

    private static final int PART = 1 << 24;

    private VectorCodecs() {}

    @Override
    public BulkCodec nf4() {
        return new Nf4Codec(table(Nf4::decode));
    }

    @Override
    public BulkCodec bnbFp4() {
        return new BnbFp4Codec(table(BnbFp4::decode));
    }

    @Override
    public BulkCodec e2m1(NanCode nan) {
        return new E2M1Codec(nan, table(E2M1::decode));
    }

    @Override
    public BulkCodec float8(Float8 format, Overflow overflow, NanCode nan, Scaling scaling) {
        return new Float8Codec(new VectorFloat8(format, overflow, nan), scaling);
    }

    @Override
    public BulkCodec int4(int zero) {
        return new Int4Codec(zero, table(code -> Int4.decode(code, zero)));
    }

    private interface Decode {
        float of(int code);
    }

    private static VectorTable table(Decode decode) {
        float[] values = new float[16];
        for (int code = 0; code < 16; code++) {
            values[code] = decode.of(code);
        }
        return new VectorTable(values);
    }

    private static void decodeByTable(VectorTable table, MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
        for (long i = 0; i < count; i += PART) {
            table.decode(codes, codesOffset + i, scale, x, xOffset + 4 * i, (int) Math.min(PART, count - i));
        }
    }

    private record Nf4Codec(VectorTable table) implements BulkCodec {
        @Override
        public void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count) {
            float inverse = 1f / scale;
            for (long i = 0; i < count; i += PART) {
                VectorNf4.encode(x, xOffset + 4 * i, inverse, codes, codesOffset + i, (int) Math.min(PART, count - i));
            }
        }

        @Override
        public void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
            decodeByTable(table, codes, codesOffset, scale, x, xOffset, count);
        }
    }

    private record BnbFp4Codec(VectorTable table) implements BulkCodec {
        @Override
        public void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count) {
            float inverse = 1f / scale;
            for (long i = 0; i < count; i += PART) {
                VectorBnbFp4.encode(x, xOffset + 4 * i, inverse, codes, codesOffset + i, (int) Math.min(PART, count - i));
            }
        }

        @Override
        public void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
            decodeByTable(table, codes, codesOffset, scale, x, xOffset, count);
        }
    }

    private record E2M1Codec(NanCode nan, VectorTable table) implements BulkCodec {
        @Override
        public void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count) {
            for (long i = 0; i < count; i += PART) {
                VectorE2M1.encode(x, xOffset + 4 * i, scale, codes, codesOffset + i, (int) Math.min(PART, count - i), nan);
            }
        }

        @Override
        public void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
            decodeByTable(table, codes, codesOffset, scale, x, xOffset, count);
        }
    }

    private record Int4Codec(int zero, VectorTable table) implements BulkCodec {
        @Override
        public void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count) {
            for (long i = 0; i < count; i += PART) {
                VectorInt4.encode(x, xOffset + 4 * i, scale, codes, codesOffset + i, (int) Math.min(PART, count - i), zero);
            }
        }

        @Override
        public void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
            decodeByTable(table, codes, codesOffset, scale, x, xOffset, count);
        }
    }

    private record Float8Codec(VectorFloat8 twin, Scaling scaling) implements BulkCodec {
        @Override
        public void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count) {
            float factor = scaling == Scaling.DIVIDE ? 1f : 1f / scale;
            float divisor = scaling == Scaling.DIVIDE ? scale : 1f;
            for (long i = 0; i < count; i += PART) {
                twin.encode(x, xOffset + 4 * i, factor, divisor, codes, codesOffset + i, (int) Math.min(PART, count - i));
            }
        }

        @Override
        public void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
            for (long i = 0; i < count; i += PART) {
                twin.decode(codes, codesOffset + i, scale, x, xOffset + 4 * i, (int) Math.min(PART, count - i));
            }
        }
    }

    @Override
    public long range(MemorySegment x, long xOffset, long count) {
        int high = 0;
        int low = 0;
        for (long i = 0; i < count; i += PART) {
            long part = VectorFloats.range(x, xOffset + 4 * i, (int) Math.min(PART, count - i));
            high = Math.max(high, (int) (part >>> 32));
            low = Math.max(low, (int) part);
        }
        return (long) high << 32 | low;
    }

    @Override
    public void widenBf16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count) {
        for (long i = 0; i < count; i += PART) {
            VectorFloats.widenBf16(from, fromOffset + 2 * i, to, toOffset + 4 * i, (int) Math.min(PART, count - i));
        }
    }

    @Override
    public void widenF16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count) {
        for (long i = 0; i < count; i += PART) {
            VectorFloats.widenF16(from, fromOffset + 2 * i, to, toOffset + 4 * i, (int) Math.min(PART, count - i));
        }
    }

    @Override
    public void narrowBf16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count) {
        for (long i = 0; i < count; i += PART) {
            VectorFloats.narrowBf16(from, fromOffset + 4 * i, to, toOffset + 2 * i, (int) Math.min(PART, count - i));
        }
    }

    @Override
    public void narrowF16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count) {
        for (long i = 0; i < count; i += PART) {
            VectorFloats.narrowF16(from, fromOffset + 4 * i, to, toOffset + 2 * i, (int) Math.min(PART, count - i));
        }
    }
}
