package io.lowbit.llm;

import io.lowbit.backend.Linear;

/**
 * The weights of one decoder layer: attention (q, k, v, o) and the SwiGLU network (gate, up, down), each after a norm.
 *
 * @param queryNorm norm of every query head, or null
 * @param keyNorm norm of every key head, or null
 * @param window how many positions a row sees
 */
record DecoderLayer(RmsNorm attentionNorm, Linear q, Linear k, Linear v, Linear o, RmsNorm queryNorm, RmsNorm keyNorm, RmsNorm mlpNorm,
        Linear gate, Linear up, Linear down, int window) {}
