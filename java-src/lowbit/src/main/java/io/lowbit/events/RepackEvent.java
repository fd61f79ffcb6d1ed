package io.lowbit.events;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;

/** A matrix was put into a kernel's own order. */
@Name("io.lowbit.Repack")
@Label("Weights Repack")
@Category("Lowbit")
@Description("A weight matrix was put into a kernel's own order")
public final class RepackEvent extends Event {
    @Label("Layout")
    private String layout;

    @Label("Matrix")
    private String matrix;

    /**
     * Ends the event and hands it over where a recording wants it.
     *
     * @param of the matrix; its text is made only then
     */
    public void finish(String layoutName, Object of) {
        end();
        if (shouldCommit()) {
            layout = layoutName;
            matrix = of.toString();
            commit();
        }
    }
}
