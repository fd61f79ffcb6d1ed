package io.lowbit.quant.calibrate;

import io.lowbit.quant.QuantizedMatrix;

/**
 * A matrix that GPTQ quantized, and how that went.
 *
 * @param matrix with a group index where groups follow the order of the walk
 * @param rows calibration rows; 0 means that none said anything and the weights were rounded to nearest
 * @param damping what H needed added, as a part of its mean diagonal; NaN without calibration rows
 * @param deadColumns input features that were zero in every row: their weights became zero
 * @param loss Σ (w − ŵ)² / U[i, i]² / 2, the damped increase of the output's squared error
 */
public record GptqResult(QuantizedMatrix matrix, long rows, double damping, int deadColumns, double loss) {
    /** True where fewer calibration rows than input features stand behind the result: it holds only thanks to damping. */
    public boolean fewRows() {
        return rows > 0 && rows < matrix.k();
    }
}
