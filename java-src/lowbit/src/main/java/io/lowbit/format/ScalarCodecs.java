package io.lowbit.format;

import io.lowbit.tensor.Half;
import java.lang.foreign.MemorySegment;

/** Loops over the scalar definitions. */
final class ScalarCodecs implements Codecs {
    static final ScalarCodecs INSTANCE = new ScalarCodecs();

    private ScalarCodecs() {}

    @Override
    public BulkCodec nf4() {
        return new Nf4Codec();
    }

    @Override
    public BulkCodec bnbFp4() {
        return new BnbFp4Codec();
    }

    @Override
    public BulkCodec e2m1(NanCode nan) {
        return new E2M1Codec(nan);
    }

    @Override
    public BulkCodec float8(Float8 format, Overflow overflow, NanCode nan, Scaling scaling) {
        return new Float8Codec(format, overflow, nan, scaling);
    }

    @Override
    public BulkCodec int4(int zero) {
        return new Int4Codec(zero);
    }

    private record Nf4Codec() implements BulkCodec {
        @Override
        public void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count) {
            float inverse = 1f / scale;
            for (long i = 0; i < count; i++) {
                codes.set(Bytes.BYTE, codesOffset + i, (byte) Nf4.encode(x.get(Bytes.FLOAT, xOffset + 4 * i) * inverse));
            }
        }

        @Override
        public void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
            for (long i = 0; i < count; i++) {
                x.set(Bytes.FLOAT, xOffset + 4 * i, Nf4.decode(codes.get(Bytes.BYTE, codesOffset + i)) * scale);
            }
        }
    }

    private record BnbFp4Codec() implements BulkCodec {
        @Override
        public void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count) {
            float inverse = 1f / scale;
            for (long i = 0; i < count; i++) {
                codes.set(Bytes.BYTE, codesOffset + i, (byte) BnbFp4.encode(x.get(Bytes.FLOAT, xOffset + 4 * i) * inverse));
            }
        }

        @Override
        public void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
            for (long i = 0; i < count; i++) {
                x.set(Bytes.FLOAT, xOffset + 4 * i, BnbFp4.decode(codes.get(Bytes.BYTE, codesOffset + i)) * scale);
            }
        }
    }

    private record E2M1Codec(NanCode nan) implements BulkCodec {
        @Override
        public void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count) {
            for (long i = 0; i < count; i++) {
                codes.set(Bytes.BYTE, codesOffset + i, (byte) E2M1.encode(x.get(Bytes.FLOAT, xOffset + 4 * i) / scale, nan));
            }
        }

        @Override
        public void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
            for (long i = 0; i < count; i++) {
                x.set(Bytes.FLOAT, xOffset + 4 * i, E2M1.decode(codes.get(Bytes.BYTE, codesOffset + i)) * scale);
            }
        }
    }

    private record Float8Codec(Float8 format, Overflow overflow, NanCode nan, Scaling scaling) implements BulkCodec {
        @Override
        public void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count) {
            boolean divide = scaling == Scaling.DIVIDE;
            float inverse = 1f / scale;
            for (long i = 0; i < count; i++) {
                float v = x.get(Bytes.FLOAT, xOffset + 4 * i);
                codes.set(Bytes.BYTE, codesOffset + i, (byte) format.encode(divide ? v / scale : v * inverse, overflow, nan));
            }
        }

        @Override
        public void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
            for (long i = 0; i < count; i++) {
                x.set(Bytes.FLOAT, xOffset + 4 * i, format.decode(codes.get(Bytes.BYTE, codesOffset + i) & 0xff) * scale);
            }
        }
    }

    private record Int4Codec(int zero) implements BulkCodec {
        @Override
        public void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, long count) {
            for (long i = 0; i < count; i++) {
                codes.set(Bytes.BYTE, codesOffset + i, (byte) Int4.encode(x.get(Bytes.FLOAT, xOffset + 4 * i) / scale, zero));
            }
        }

        @Override
        public void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, long count) {
            for (long i = 0; i < count; i++) {
                x.set(Bytes.FLOAT, xOffset + 4 * i, Int4.decode(codes.get(Bytes.BYTE, codesOffset + i), zero) * scale);
            }
        }
    }

    @Override
    public long range(MemorySegment x, long xOffset, long count) {
        int high = 0;
        int low = 0;
        for (long i = 0; i < count; i++) {
            // as integers, positive floats rise with their value; with the sign flipped, so do magnitudes of negatives
            int u = x.get(Bytes.INT, xOffset + 4 * i);
            high = Math.max(high, u);
            low = Math.max(low, u ^ 0x80000000);
        }
        return (long) high << 32 | low;
    }

    @Override
    public void widenBf16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count) {
        for (long i = 0; i < count; i++) {
            to.set(Bytes.INT, toOffset + 4 * i, from.get(Bytes.SHORT, fromOffset + 2 * i) << 16);
        }
    }

    @Override
    public void widenF16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count) {
        for (long i = 0; i < count; i++) {
            to.set(Bytes.FLOAT, toOffset + 4 * i, Float.float16ToFloat(from.get(Bytes.SHORT, fromOffset + 2 * i)));
        }
    }

    @Override
    public void narrowBf16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count) {
        for (long i = 0; i < count; i++) {
            to.set(Bytes.SHORT, toOffset + 2 * i, Half.floatToBf16(from.get(Bytes.FLOAT, fromOffset + 4 * i)));
        }
    }

    @Override
    public void narrowF16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count) {
        for (long i = 0; i < count; i++) {
            to.set(Bytes.SHORT, toOffset + 2 * i, Float.floatToFloat16(from.get(Bytes.FLOAT, fromOffset + 4 * i)));
        }
    }
}
