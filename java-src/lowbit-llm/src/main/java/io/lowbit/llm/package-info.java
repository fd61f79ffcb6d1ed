/**
 * A decoder for Llama-family models whose every linear layer is an {@link io.lowbit.backend.Linear}: the library's
 * first user and its example. {@link io.lowbit.llm.LlamaModel} loads, {@link io.lowbit.llm.Session} runs,
 * {@link io.lowbit.llm.Generator} writes text, {@link io.lowbit.llm.Perplexity} measures.
 */
package io.lowbit.llm;
