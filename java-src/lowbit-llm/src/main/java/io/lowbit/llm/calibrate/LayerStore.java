package io.lowbit.llm.calibrate;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Finished decoder layers of a calibration, kept so that a run that was cut off goes on where it was. */
public interface LayerStore {
    /**
     * A decoder layer's result.
     *
     * @param matrices by layer name
     * @param divisors what the original's input of a layer is to be divided by, by layer name; absent for none
     * @param running those of the divisors that nothing in front of the layer applies while the model runs: a norm takes them
     *     over only in the file
     * @param outputs what a layer's output is to be multiplied with to be the original's, by layer name; absent for none
     * @param replaced norms that the divisors are folded into, by tensor name
     * @param changed layers put since they were last loaded
     */
    record Layer(Map<String, QuantizedMatrix> matrices, Map<String, float[]> divisors, Set<String> running, Map<String, float[]> outputs,
            Map<String, Tensor> replaced, List<LayerReport> reports, Set<String> changed) {
        static Layer empty() {
            return new Layer(new LinkedHashMap<>(), new LinkedHashMap<>(), new LinkedHashSet<>(), new LinkedHashMap<>(), new LinkedHashMap<>(),
                    new ArrayList<>(), new LinkedHashSet<>());
        }

        void put(String name, QuantizedMatrix matrix) {
            matrices.put(name, matrix);
            changed.add(name);
        }

        /** What a running model has to divide the layer's input by; null for nothing. */
        float[] runningDivisors(String name) {
            return running.contains(name) ? divisors.get(name) : null;
        }
    }

    /** The result of decoder layer {@code index}, its parts in {@code arena}; null where it is not there. */
    Layer read(int index, Arena arena) throws IOException;

    /** Keeps the result of decoder layer {@code index}. */
    void write(int index, Layer layer) throws IOException;
}
