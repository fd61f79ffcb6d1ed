package io.lowbit.cli.bench;

import io.lowbit.cli.SchemeNames;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.cli.bench.gpu.GpuBench;
import io.lowbit.quant.Scheme;
import java.util.Optional;

/**
 * One case by name, for a profiler: {@code CONTENDER/NxK/M}, for example {@code int4 sym g128/4096x4096/16}. A contender is a
 * scheme's label, one with {@code w8a8 fast} or {@code w8a8 precise} behind it, or a peer's name.
 *
 * @param contender its name in the tables
 * @param scheme empty for a peer
 * @param shape N and K
 * @param m rows of x
 */
record ProfileCase(String contender, Optional<Scheme> scheme, GemmShape shape, int m) {
    private static final String EXPECTED = "expected CONTENDER/NxK/M, for example \"int4 sym g128/4096x4096/16\" or \"cublasLt bf16/4096x4096/16\"";

    /**
     * Reads a case.
     *
     * @throws IllegalArgumentException where it is none
     */
    static ProfileCase parse(String text) {
        String[] parts = text.split("/");
        if (parts.length != 3 || !parts[2].strip().matches("[1-9]\\d{0,8}")) {
            throw new IllegalArgumentException("--profile '" + text + "': " + EXPECTED);
        }
        String name = parts[0].strip();
        Optional<Scheme> scheme = SchemeNames.parse(GpuBench.schemeName(name));
        boolean peer = false;
        for (Operands operands : Operands.values()) {
            peer |= GpuBench.peerName(operands).equals(name);
        }
        if (scheme.isEmpty() && !peer) {
            throw new IllegalArgumentException("--profile '" + text + "': no scheme and no peer is called '" + name + "'; " + EXPECTED);
        }
        return new ProfileCase(name, scheme, GemmShape.parse(parts[1]), Integer.parseInt(parts[2].strip()));
    }
}
