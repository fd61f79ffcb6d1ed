package io.lowbit.checkpoint;

import java.util.Collection;
import java.util.Comparator;
import java.util.List;

/** Helps a user who asked for a name that is not there. */
final class Names {
    private Names() {}

    /**
     * True for names that no tensor may have: with control characters, lone surrogates, or line and direction marks,
     * which would let a name rewrite the lines it is printed in.
     */
    static boolean unfit(String name) {
        return name.codePoints().anyMatch(c -> switch (Character.getType(c)) {
            case Character.CONTROL, Character.FORMAT, Character.SURROGATE, Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR -> true;
            default -> false;
        });
    }

    /** Up to three names that look most like {@code wanted}. */
    static String cure(String wanted, Collection<String> names) {
        if (names.isEmpty()) {
            return "the file holds no tensors at all";
        }
        List<String> near = names.stream()
                .sorted(Comparator.comparingInt((String n) -> -common(wanted, n)).thenComparing(Comparator.naturalOrder()))
                .limit(3)
                .map(CheckpointException::quote)
                .toList();
        return "it has " + names.size() + ", among them " + String.join(", ", near);
    }

    /** Characters shared at the start and at the end. */
    private static int common(String a, String b) {
        int shorter = Math.min(a.length(), b.length());
        int head = 0;
        while (head < shorter && a.charAt(head) == b.charAt(head)) {
            head++;
        }
        int tail = 0;
        while (tail < shorter - head && a.charAt(a.length() - 1 - tail) == b.charAt(b.length() - 1 - tail)) {
            tail++;
        }
        return head + tail;
    }
}
