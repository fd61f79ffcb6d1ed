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
     * @param divisors what a layer's inputs are to be divided by while the model runs, by layer name; absent for none
     * @param replaced tensors that take the division over once the model is written, by name
     * @param changed layers put since they were last loaded
     */
    record Layer(Map<String, QuantizedMatrix> matrices, Map<String, float[]> divisors, Map<String, Tensor> replaced, List<LayerReport> reports,
            Set<String> changed) {
        static Layer empty() {
            return new Layer(new LinkedHashMap<>(), new LinkedHashMap<>(), new LinkedHashMap<>(), new ArrayList<>(), new LinkedHashSet<>());
        }

        void put(String name, QuantizedMatrix matrix, float[] inputDivisors) {
            matrices.put(name, matrix);
            changed.add(name);
            if (inputDivisors != null) {
                divisors.put(name, inputDivisors);
            }
        }
    }

    /** The result of decoder layer {@code index}, its parts in {@code arena}; null where it is not there. */
    Layer read(int index, Arena arena) throws IOException;

    /** Keeps the result of decoder layer {@code index}. */
    void write(int index, Layer layer) throws IOException;
}
