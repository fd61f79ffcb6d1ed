package io.lowbit.events;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** A kernel was added to a stream; its duration is that of the driver's call, not of the kernel. */
@Name("io.lowbit.Launch")
@Label("Kernel Launch")
@Category("Lowbit")
@Description("A kernel was added to a CUDA stream; the duration is the host's")
@StackTrace(false)
public final class LaunchEvent extends Event {
    /** Asked whether anybody records: an event of its own for each launch would be an object that the compiler may not remove. */
    private static final LaunchEvent ASKED = new LaunchEvent();

    @Label("Kernel")
    private String kernel;

    @Label("Blocks")
    private long blocks;

    @Label("Threads of a Block")
    private int threads;

    /** An event that has begun; null where nobody records launches. */
    public static LaunchEvent started() {
        if (!ASKED.isEnabled()) {
            return null;
        }
        LaunchEvent event = new LaunchEvent();
        event.begin();
        return event;
    }

    /** Ends the event and hands it over where a recording wants it. */
    public void finish(String kernelName, long blockCount, int threadsOfABlock) {
        end();
        if (shouldCommit()) {
            kernel = kernelName;
            blocks = blockCount;
            threads = threadsOfABlock;
            commit();
        }
    }
}
