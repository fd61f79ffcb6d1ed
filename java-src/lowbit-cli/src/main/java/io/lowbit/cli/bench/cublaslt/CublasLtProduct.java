package io.lowbit.cli.bench.cublaslt;

import io.lowbit.bindings.cublaslt.CublasLt;
import io.lowbit.bindings.cublaslt.cublasLtMatmulAlgo_t;
import io.lowbit.bindings.cublaslt.cublasLtMatmulHeuristicResult_t;
import io.lowbit.cuda.driver.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * y {@code [M, N]} = x {@code [M, K]} · Wᵀ through cuBLASLt, described once.
 *
 * <p>The library counts in columns: its A is w {@code [N, K]} read as K × N and transposed, its B is x read as K × M, its
 * D is y read as N × M. That is the one arrangement in which it takes FP8.
 */
public final class CublasLtProduct implements AutoCloseable {
    /** How many of its heuristic's suggestions are looked at. */
    public static final int SUGGESTIONS = 8;

    private final CublasLtHandle library;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment description;
    private final MemorySegment w;
    private final MemorySegment x;
    private final MemorySegment y;
    private final MemorySegment alpha;
    private final MemorySegment beta;
    private final List<Algorithm> algorithms;

    /**
     * Describes the product and asks for algorithms.
     *
     * @param wScales device address of f32 scales of w: 1, or N where rows have their own; 0 for BF16
     * @param xScales the same for x: 1 or M
     * @throws CublasLtException when the library does not have such a product
     */
    public CublasLtProduct(CublasLtHandle library, Operands operands, long m, long n, long k, long wScales, long xScales) {
        this.library = library;
        MemorySegment[] out = new MemorySegment[4];
        alpha = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1f);
        beta = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 0f);
        int type = operands.fp8() ? CublasLt.CUDA_R_8F_E4M3() : CublasLt.CUDA_R_16BF();
        boolean done = false;
        try {
            out[0] = make(p -> CublasLt.cublasLtMatmulDescCreate(p, CublasLt.CUBLAS_COMPUTE_32F(), CublasLt.CUDA_R_32F()), "cublasLtMatmulDescCreate");
            out[1] = layout(type, k, n);
            out[2] = layout(type, k, m);
            out[3] = layout(CublasLt.CUDA_R_16BF(), n, m);
            description = out[0];
            w = out[1];
            x = out[2];
            y = out[3];
            set(CublasLt.CUBLASLT_MATMUL_DESC_TRANSA(), arena.allocateFrom(ValueLayout.JAVA_INT, CublasLt.CUBLAS_OP_T()), "TRANSA");
            set(CublasLt.CUBLASLT_MATMUL_DESC_TRANSB(), arena.allocateFrom(ValueLayout.JAVA_INT, CublasLt.CUBLAS_OP_N()), "TRANSB");
            if (operands.fp8()) {
                set(CublasLt.CUBLASLT_MATMUL_DESC_FAST_ACCUM(), arena.allocateFrom(ValueLayout.JAVA_BYTE, (byte) (operands.fast() ? 1 : 0)), "FAST_ACCUM");
                if (operands.rows()) {
                    MemorySegment vector = arena.allocateFrom(ValueLayout.JAVA_INT, CublasLt.CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F());
                    set(CublasLt.CUBLASLT_MATMUL_DESC_A_SCALE_MODE(), vector, "A_SCALE_MODE");
                    set(CublasLt.CUBLASLT_MATMUL_DESC_B_SCALE_MODE(), vector, "B_SCALE_MODE");
                }
                set(CublasLt.CUBLASLT_MATMUL_DESC_A_SCALE_POINTER(), arena.allocateFrom(ValueLayout.JAVA_LONG, wScales), "A_SCALE_POINTER");
                set(CublasLt.CUBLASLT_MATMUL_DESC_B_SCALE_POINTER(), arena.allocateFrom(ValueLayout.JAVA_LONG, xScales), "B_SCALE_POINTER");
            }
            algorithms = suggestions();
            done = true;
        } finally {
            if (!done) {
                free(out);
            }
        }
    }

    /** A call that fills an address. */
    private interface Maker {
        int make(MemorySegment out);
    }

    private MemorySegment make(Maker maker, String call) {
        MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
        CublasLtHandle.check(maker.make(out), call);
        return out.get(ValueLayout.ADDRESS, 0);
    }

    private MemorySegment layout(int type, long rows, long columns) {
        return make(p -> CublasLt.cublasLtMatrixLayoutCreate(p, type, rows, columns, rows), "cublasLtMatrixLayoutCreate");
    }

    private void set(int attribute, MemorySegment value, String name) {
        CublasLtHandle.check(CublasLt.cublasLtMatmulDescSetAttribute(description, attribute, value, value.byteSize()),
                "cublasLtMatmulDescSetAttribute " + name);
    }

    private List<Algorithm> suggestions() {
        MemorySegment preference = make(CublasLt::cublasLtMatmulPreferenceCreate, "cublasLtMatmulPreferenceCreate");
        try {
            MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_LONG, CublasLtHandle.WORKSPACE_BYTES);
            CublasLtHandle.check(CublasLt.cublasLtMatmulPreferenceSetAttribute(preference, CublasLt.CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES(),
                    bytes, 8), "cublasLtMatmulPreferenceSetAttribute");
            MemorySegment results = cublasLtMatmulHeuristicResult_t.allocateArray(SUGGESTIONS, arena);
            MemorySegment count = arena.allocate(ValueLayout.JAVA_INT);
            library.context().bound(() -> CublasLtHandle.check(CublasLt.cublasLtMatmulAlgoGetHeuristic(library.segment(), description, w, x, y, y,
                    preference, SUGGESTIONS, results, count), "cublasLtMatmulAlgoGetHeuristic"));
            List<Algorithm> found = new ArrayList<>();
            for (int i = 0; i < count.get(ValueLayout.JAVA_INT, 0); i++) {
                MemorySegment result = cublasLtMatmulHeuristicResult_t.asSlice(results, i);
                if (cublasLtMatmulHeuristicResult_t.state(result) == CublasLt.CUBLAS_STATUS_SUCCESS()) {
                    MemorySegment algorithm = cublasLtMatmulAlgo_t.allocate(arena);
                    algorithm.copyFrom(cublasLtMatmulHeuristicResult_t.algo(result));
                    found.add(Algorithm.of(i, algorithm, cublasLtMatmulHeuristicResult_t.workspaceSize(result)));
                }
            }
            if (found.isEmpty()) {
                throw new CublasLtException("cublasLtMatmulAlgoGetHeuristic: no algorithm for this product on this GPU");
            }
            return found;
        } finally {
            CublasLt.cublasLtMatmulPreferenceDestroy(preference);
        }
    }

    /** What the heuristic suggests, its favourite first; at least one. */
    public List<Algorithm> algorithms() {
        return algorithms;
    }

    /** Adds the product of matrices at these device addresses to {@code stream}; may be captured in a graph. */
    public void enqueue(Stream stream, Algorithm algorithm, long wAt, long xAt, long yAt) {
        MemorySegment to = MemorySegment.ofAddress(yAt);
        library.context().bound(() -> CublasLtHandle.check(CublasLt.cublasLtMatmul(library.segment(), description, alpha,
                MemorySegment.ofAddress(wAt), w, MemorySegment.ofAddress(xAt), x, beta, to, y, to, y, algorithm.handle(), library.workspace(),
                CublasLtHandle.WORKSPACE_BYTES, MemorySegment.ofAddress(stream.handle())), "cublasLtMatmul, " + algorithm.name()));
    }

    private void free(MemorySegment[] made) {
        if (made[0] != null) {
            CublasLt.cublasLtMatmulDescDestroy(made[0]);
        }
        for (int i = 1; i < made.length; i++) {
            if (made[i] != null) {
                CublasLt.cublasLtMatrixLayoutDestroy(made[i]);
            }
        }
        arena.close();
    }

    @Override
    public void close() {
        free(new MemorySegment[] {description, w, x, y});
    }
}
