package io.lowbit.events;

import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;

/** A layer was loaded; its duration is the whole load, repacking included. */
@Name("io.lowbit.Load")
@Label("Layer Load")
@Category("Lowbit")
@Description("A weight matrix was loaded into a backend")
public final class LoadEvent extends Event {
    @Label("Backend")
    private String backend;

    @Label("Scheme")
    private String scheme;

    @Label("N, Output Features")
    private long n;

    @Label("K, Input Features")
    private long k;

    @Label("Bytes")
    @DataAmount
    private long bytes;

    /** Ends the event and hands it over where a recording wants it. */
    public void finish(String backendName, String schemeLabel, long rows, long columns, long heldBytes) {
        end();
        if (shouldCommit()) {
            backend = backendName;
            scheme = schemeLabel;
            n = rows;
            k = columns;
            bytes = heldBytes;
            commit();
        }
    }
}
