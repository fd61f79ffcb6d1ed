package io.lowbit.bindings.nvml;

import java.lang.foreign.SymbolLookup;

/** Where {@link Nvml} finds its functions. Written by generate.sh. */
public final class Symbols {
    private static volatile SymbolLookup lookup;

    private Symbols() {}

    /** Sets the library; to be called before the first touch of {@link Nvml}, which keeps what it finds then. */
    public static void install(SymbolLookup library) {
        lookup = library;
    }

    static SymbolLookup lookup() {
        SymbolLookup library = lookup;
        if (library == null) {
            throw new IllegalStateException("no library is installed for io.lowbit.bindings.nvml.Nvml: call Symbols.install first");
        }
        return library;
    }
}
