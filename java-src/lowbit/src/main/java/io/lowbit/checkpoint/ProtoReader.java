package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/**
 * Walks the fields of one protobuf message inside a segment; every length is checked against what is left of the
 * message before it is used. Fields of messages inside are walked by a reader of their own.
 */
final class ProtoReader {
    static final int VARINT = 0;
    static final int FIXED64 = 1;
    static final int BYTES = 2;
    static final int FIXED32 = 5;

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final String path;
    private final MemorySegment message;
    private long at;
    private int field;
    private int wireType;
    private long value;
    private long length;

    /** @param path what messages name as the file */
    ProtoReader(String path, MemorySegment message) {
        this.path = path;
        this.message = message;
    }

    /** Moves to the next field, reading its value or its length; false at the end. */
    boolean next() {
        if (at >= message.byteSize()) {
            return false;
        }
        long tag = varint();
        long number = tag >>> 3;
        if (number < 1 || number > 0x1fffffff) {
            throw damaged("field number " + Long.toUnsignedString(number));
        }
        field = (int) number;
        wireType = (int) (tag & 7);
        switch (wireType) {
            case VARINT -> value = varint();
            case FIXED64 -> {
                need(8);
                value = message.get(LONG, at);
                at += 8;
            }
            case FIXED32 -> {
                need(4);
                value = message.get(INT, at);
                at += 4;
            }
            case BYTES -> {
                length = varint();
                need(length);
                at += length;
            }
            default -> throw damaged("wire type " + wireType + " in field " + field);
        }
        return true;
    }

    int field() {
        return field;
    }

    int wireType() {
        return wireType;
    }

    /** The number in this field, of any width. */
    long number() {
        if (wireType == BYTES) {
            throw damaged("field " + field + " has wire type " + wireType + ", expected a number");
        }
        return value;
    }

    /** The bytes of this field. */
    MemorySegment bytes() {
        if (wireType != BYTES) {
            throw damaged("field " + field + " has wire type " + wireType + ", expected bytes");
        }
        return message.asSlice(at - length, length);
    }

    /** A reader of the message in this field. */
    ProtoReader message() {
        return new ProtoReader(path, bytes());
    }

    /** The text in this field, strictly UTF-8. */
    String text() {
        MemorySegment bytes = bytes();
        if (bytes.byteSize() > 1 << 20) {
            throw damaged("a text of " + bytes.byteSize() + " bytes in field " + field);
        }
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes.toArray(ValueLayout.JAVA_BYTE))).toString();
        } catch (CharacterCodingException e) {
            throw damaged("text in field " + field + " that is not UTF-8");
        }
    }

    /** Walks bytes that are varints one after the other, as packed fields are; field 0 stays as it is. */
    boolean nextPacked() {
        if (at >= message.byteSize()) {
            return false;
        }
        wireType = VARINT;
        value = varint();
        return true;
    }

    private long varint() {
        long out = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            need(1);
            byte b = message.get(ValueLayout.JAVA_BYTE, at++);
            out |= (long) (b & 0x7f) << shift;
            if (b >= 0) {
                return out;
            }
        }
        throw damaged("a number of more than 10 bytes");
    }

    private void need(long bytes) {
        if (bytes < 0 || bytes > message.byteSize() - at) {
            throw damaged("a field of " + Long.toUnsignedString(bytes) + " bytes where " + (message.byteSize() - at) + " are left");
        }
    }

    private CheckpointException damaged(String what) {
        return new CheckpointException(Fault.HEADER, path, "not an ONNX model, or damaged: " + what, "check the file or download it again");
    }
}
