package io.lowbit.cli.bench.cublaslt;

import io.lowbit.bindings.cublaslt.CublasLt;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * One of cuBLASLt's ways to compute a product.
 *
 * @param rank place in its heuristic's list, 0 is what a caller gets who asks for one
 * @param handle its {@code cublasLtMatmulAlgo_t}
 * @param workspaceBytes that it needs
 * @param name its numbers, for example {@code algo 66 tile 513 stages 35 splitk 1 cluster 3}
 */
public record Algorithm(int rank, MemorySegment handle, long workspaceBytes, String name) {
    static Algorithm of(int rank, MemorySegment handle, long workspaceBytes) {
        String name = "algo " + number(handle, CublasLt.CUBLASLT_ALGO_CONFIG_ID(), 4)
                + " tile " + number(handle, CublasLt.CUBLASLT_ALGO_CONFIG_TILE_ID(), 4)
                + " stages " + number(handle, CublasLt.CUBLASLT_ALGO_CONFIG_STAGES_ID(), 4)
                + " splitk " + number(handle, CublasLt.CUBLASLT_ALGO_CONFIG_SPLITK_NUM(), 4)
                + " cluster " + number(handle, CublasLt.CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID(), 2);
        return new Algorithm(rank, handle, workspaceBytes, name);
    }

    /** An attribute of 2 or 4 bytes; {@code ?} where this library has none such. */
    private static String number(MemorySegment algorithm, int attribute, int bytes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(8, 8);
            if (CublasLt.cublasLtMatmulAlgoConfigGetAttribute(algorithm, attribute, out, bytes, MemorySegment.NULL)
                    != CublasLt.CUBLAS_STATUS_SUCCESS()) {
                return "?";
            }
            return Integer.toString(bytes == 2 ? out.get(ValueLayout.JAVA_SHORT, 0) : out.get(ValueLayout.JAVA_INT, 0));
        }
    }
}
