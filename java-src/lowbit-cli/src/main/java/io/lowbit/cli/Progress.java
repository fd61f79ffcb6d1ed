package io.lowbit.cli;

import java.io.PrintWriter;

/** A progress bar that redraws its line at most ten times a second and wipes itself at the end; silent in a pipe. */
public final class Progress implements AutoCloseable {
    private static final int CELLS = 30;
    private static final long REDRAW_NANOS = 100_000_000L;

    private final PrintWriter out;
    private final String what;
    private final long total;
    private final boolean visible;
    private final long start = System.nanoTime();
    private long done;
    private long drawn;
    private int width;

    Progress(PrintWriter out, String what, long total, boolean visible) {
        this.out = out;
        this.what = what;
        this.total = total;
        this.visible = visible;
    }

    /** One more step is done. */
    public void step() {
        step(1, "");
    }

    /** {@code steps} more are done; {@code detail} says what is at work now. Any thread may call. */
    public synchronized void step(long steps, String detail) {
        step(steps, total <= 0 ? 0 : (double) (done + steps) / total, detail);
    }

    /** The same for steps that are not alike: {@code part} of the whole work, 0 to 1, is done. */
    public synchronized void step(long steps, double part, String detail) {
        done += steps;
        long now = System.nanoTime();
        if (visible && (now - drawn >= REDRAW_NANOS || done >= total)) {
            drawn = now;
            draw(Math.clamp(part, 0.0, 1.0), detail, now);
        }
    }

    private void draw(double part, String detail, long now) {
        int full = (int) Math.round(part * CELLS);
        double seconds = (now - start) * 1e-9;
        String left = part > 0 && part < 1 ? String.format(java.util.Locale.ROOT, ", %.0f s left", seconds / part - seconds) : "";
        String line = what + " [" + "#".repeat(full) + ".".repeat(CELLS - full) + "] " + done + "/" + total + left
                + (detail.isEmpty() ? "" : "  " + detail);
        if (line.length() > 100) {
            line = line.substring(0, 99) + "…";
        }
        out.print("\r" + line + " ".repeat(Math.max(0, width - line.length())));
        out.flush();
        width = line.length();
    }

    /** Wipes the line, so that something else can be printed; the next step draws it again. */
    public synchronized void clear() {
        if (visible && width > 0) {
            out.print("\r" + " ".repeat(width) + "\r");
            out.flush();
            width = 0;
            drawn = 0;
        }
    }

    @Override
    public void close() {
        clear();
    }
}
