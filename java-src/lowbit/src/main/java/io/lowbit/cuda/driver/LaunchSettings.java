package io.lowbit.cuda.driver;

import io.lowbit.bindings.cuda.CUlaunchAttribute_st;
import io.lowbit.bindings.cuda.CUlaunchConfig_st;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** One stream's {@code CUlaunchConfig} with its attributes, written anew for each launch under the stream's lock. */
final class LaunchSettings {
    // CUlaunchAttributeID
    private static final int CLUSTER_DIMENSION = 4;
    private static final int PROGRAMMATIC_STREAM_SERIALIZATION = 6;

    private final MemorySegment config;
    private final MemorySegment[] attributes = new MemorySegment[2];

    LaunchSettings(Arena arena, MemorySegment stream) {
        config = CUlaunchConfig_st.allocate(arena);
        MemorySegment all = CUlaunchAttribute_st.allocateArray(attributes.length, arena);
        for (int i = 0; i < attributes.length; i++) {
            attributes[i] = CUlaunchAttribute_st.asSlice(all, i);
        }
        CUlaunchConfig_st.hStream(config, stream);
        CUlaunchConfig_st.attrs(config, all);
    }

    MemorySegment segment() {
        return config;
    }

    void set(LaunchConfig launch, int gridX, int gridY, int gridZ) {
        CUlaunchConfig_st.gridDimX(config, gridX);
        CUlaunchConfig_st.gridDimY(config, gridY);
        CUlaunchConfig_st.gridDimZ(config, gridZ);
        CUlaunchConfig_st.blockDimX(config, launch.threadsX());
        CUlaunchConfig_st.blockDimY(config, launch.threadsY());
        CUlaunchConfig_st.blockDimZ(config, launch.threadsZ());
        CUlaunchConfig_st.sharedMemBytes(config, launch.sharedBytes());
        int count = 0;
        if (launch.clustered()) {
            value(attributes[count++], CLUSTER_DIMENSION, launch.clusterX(), launch.clusterY(), launch.clusterZ());
        }
        if (launch.overlap()) {
            value(attributes[count++], PROGRAMMATIC_STREAM_SERIALIZATION, 1, 0, 0);
        }
        CUlaunchConfig_st.numAttrs(config, count);
    }

    /** Both attributes are 32-bit integers at the start of the value. */
    private static void value(MemorySegment attribute, int id, int first, int second, int third) {
        CUlaunchAttribute_st.id(attribute, id);
        long at = CUlaunchAttribute_st.value$offset();
        attribute.set(ValueLayout.JAVA_INT, at, first);
        attribute.set(ValueLayout.JAVA_INT, at + 4, second);
        attribute.set(ValueLayout.JAVA_INT, at + 8, third);
    }
}
