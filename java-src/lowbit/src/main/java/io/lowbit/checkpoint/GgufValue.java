package io.lowbit.checkpoint;

/**
 * A value of a GGUF file's key-value section.
 *
 * @param type as the file has it; of the elements where the value is an array
 * @param value Long for integers (u64 by its bits), Double for floats, Boolean, String; for arrays long[], double[],
 *     boolean[] or String[]
 */
public record GgufValue(Type type, Object value) {
    /** Types in the order of their numbers in files. */
    public enum Type {
        U8(1), I8(1), U16(2), I16(2), U32(4), I32(4), F32(4), BOOL(1), STRING(8), ARRAY(12), U64(8), I64(8), F64(8);

        /** Bytes of one value; the fewest it can have for strings and arrays. */
        final int bytes;

        Type(int bytes) {
            this.bytes = bytes;
        }

        boolean isFloat() {
            return this == F32 || this == F64;
        }
    }

    public static GgufValue of(String text) {
        return new GgufValue(Type.STRING, text);
    }

    public static GgufValue u32(long value) {
        return new GgufValue(Type.U32, value);
    }

    public static GgufValue f32(double value) {
        return new GgufValue(Type.F32, value);
    }

    public static GgufValue of(boolean value) {
        return new GgufValue(Type.BOOL, value);
    }

    /** True for arrays. */
    public boolean isArray() {
        return value.getClass().isArray();
    }

    /** Elements of an array. */
    int length() {
        return java.lang.reflect.Array.getLength(value);
    }

    /** For people; arrays as their type and length. */
    @Override
    public String toString() {
        if (isArray()) {
            return "[" + length() + " " + type.name().toLowerCase(java.util.Locale.ROOT) + "]";
        }
        return type == Type.U64 ? Long.toUnsignedString((Long) value) : value.toString();
    }
}
