package io.lowbit.cli;

import java.util.ArrayList;
import java.util.List;

/** Columns of text, aligned: those named with a leading {@code >} to the right, as numbers are read. */
public final class Table {
    private final List<String[]> rows = new ArrayList<>();
    private final boolean[] right;

    public Table(String... columns) {
        right = new boolean[columns.length];
        String[] heads = new String[columns.length];
        for (int i = 0; i < columns.length; i++) {
            right[i] = columns[i].startsWith(">");
            heads[i] = right[i] ? columns[i].substring(1) : columns[i];
        }
        rows.add(heads);
    }

    /** Adds a row; {@code null} shows as {@code -}. */
    public Table row(Object... cells) {
        if (cells.length != right.length) {
            throw new IllegalArgumentException("table row of " + cells.length + " cells: expected " + right.length);
        }
        String[] row = new String[cells.length];
        for (int i = 0; i < cells.length; i++) {
            row[i] = cells[i] == null ? "-" : cells[i].toString();
        }
        rows.add(row);
        return this;
    }

    /** Heads, a rule and the rows. */
    public List<String> lines() {
        int[] width = new int[right.length];
        for (String[] row : rows) {
            for (int i = 0; i < row.length; i++) {
                width[i] = Math.max(width[i], row[i].codePointCount(0, row[i].length()));
            }
        }
        List<String> lines = new ArrayList<>();
        for (String[] row : rows) {
            StringBuilder line = new StringBuilder();
            for (int i = 0; i < row.length; i++) {
                String gap = " ".repeat(width[i] - row[i].codePointCount(0, row[i].length()));
                line.append(i == 0 ? "" : "  ").append(right[i] ? gap + row[i] : row[i] + gap);
            }
            lines.add(line.toString().stripTrailing());
            if (lines.size() == 1) {
                StringBuilder rule = new StringBuilder();
                for (int i = 0; i < width.length; i++) {
                    rule.append(i == 0 ? "" : "  ").append("-".repeat(width[i]));
                }
                lines.add(rule.toString());
            }
        }
        return lines;
    }
}
