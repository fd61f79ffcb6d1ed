package io.lowbit.cli.selftest;

import java.util.Objects;

/** Counts what a group of cases checked and keeps the first difference. Not for several threads at once. */
final class Check {
    private long checked;
    private long wrong;
    private String first;

    /** One comparison of bits or codes. */
    void equal(long expected, long got, String where, long index) {
        checked++;
        if (expected != got) {
            wrong(where + "[" + index + "]: expected 0x" + Long.toHexString(expected) + ", got 0x" + Long.toHexString(got));
        }
    }

    /** One comparison of floats by their bits; all NaNs are alike. */
    void equal(float expected, float got, String where, long index) {
        checked++;
        boolean same = Float.isNaN(expected) ? Float.isNaN(got) : Float.floatToRawIntBits(expected) == Float.floatToRawIntBits(got);
        if (!same) {
            wrong(where + "[" + index + "]: expected " + expected + ", got " + got);
        }
    }

    /** One case that holds or not. */
    void holds(boolean good, String otherwise) {
        checked++;
        if (!good) {
            wrong(otherwise);
        }
    }

    private void wrong(String what) {
        wrong++;
        if (first == null) {
            first = what;
        }
    }

    /** The group's line. A group that checked nothing has failed: its vectors are missing. */
    GroupResult result(String group, String unit) {
        if (checked == 0) {
            return new GroupResult(group, false, 0, "nothing was checked");
        }
        return new GroupResult(group, wrong == 0, checked, wrong == 0
                ? checked + " " + unit
                : wrong + " of " + checked + " " + unit + " are wrong, the first: " + Objects.requireNonNull(first));
    }
}
