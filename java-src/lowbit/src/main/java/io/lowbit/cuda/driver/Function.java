package io.lowbit.cuda.driver;

import java.lang.foreign.MemorySegment;

/** A kernel of a module; it lives as long as the module. */
public final class Function {
    private final Module module;
    private final String name;
    private final MemorySegment handle;

    Function(Module module, String name, MemorySegment handle) {
        this.module = module;
        this.name = name;
        this.handle = handle;
    }

    /** Its name in the module. */
    public String name() {
        return name;
    }

    /** The {@code CUfunction}. */
    public long handle() {
        return handle.address();
    }

    Module module() {
        return module;
    }

    MemorySegment segment() {
        return handle;
    }
}
