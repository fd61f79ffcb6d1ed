"""Writes the tiny random models of this folder and what transformers computes from them.

    pip install torch transformers safetensors
    python make_references.py

Every weight is random (seed below), rounded to BF16; arithmetic is F32 with eager attention. Scales are chosen so that
scores differ widely: a model at its usual initialization is close to linear and would hide mistakes.
"""
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM,
                          Qwen3Config, Qwen3ForCausalLM)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENS = 40
COMMON = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
              max_position_embeddings=128, bos_token_id=0, eos_token_id=1, attn_implementation="eager")


def make(name, model_class, config, seed, old_config=False, shard=None):
    torch.manual_seed(seed)
    model = model_class(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if "norm" in parameter_name:
                value = 1 + 0.3 * noise
            elif p.dim() == 1:
                value = 0.3 * noise
            elif "embed" in parameter_name:
                value = noise
            else:
                value = noise * 1.5 / p.shape[1] ** 0.5
            p.copy_(value.to(torch.bfloat16).float())
    tokens = torch.randint(2, config.vocab_size, (1, TOKENS), generator=generator)
    with torch.no_grad():
        logits = model(tokens).logits[0]
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    path = os.path.join(folder, "config.json")
    if old_config:
        # the same settings as transformers before version 5 wrote them
        written = json.load(open(path))
        rope = written.pop("rope_parameters")
        written["rope_theta"] = rope.pop("rope_theta")
        written["rope_scaling"] = None if rope["rope_type"] == "default" else rope
        written.pop("layer_types", None)
        written["transformers_version"] = "4.46.0"
        json.dump(written, open(path, "w"), indent=2, sort_keys=True)
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)
    save_file({"input_ids": tokens[0].to(torch.int32), "logits": logits.contiguous()}, os.path.join(HERE, name + ".expected.safetensors"))
    print(name, "logits std", logits.std().item(), {f: os.path.getsize(os.path.join(folder, f)) for f in sorted(os.listdir(folder))})


make("llama3-rope-biases-old-config", LlamaForCausalLM, LlamaConfig(
    **COMMON, attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
    rope_parameters=dict(rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                         original_max_position_embeddings=32)), 1, old_config=True)
make("llama-linear-rope", LlamaForCausalLM, LlamaConfig(
    **COMMON, head_dim=20, tie_word_embeddings=True, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)), 2)
make("mistral-window", MistralForCausalLM, MistralConfig(**COMMON, sliding_window=7, tie_word_embeddings=False), 3)
make("qwen2-some-windows", Qwen2ForCausalLM, Qwen2Config(
    **COMMON, use_sliding_window=True, sliding_window=9, max_window_layers=1, tie_word_embeddings=True), 4)
make("qwen2-old-config", Qwen2ForCausalLM, Qwen2Config(
    **COMMON, use_sliding_window=True, sliding_window=9, max_window_layers=2, tie_word_embeddings=False), 5, old_config=True)
make("qwen3-shards", Qwen3ForCausalLM, Qwen3Config(
    **(COMMON | dict(num_attention_heads=6, num_key_value_heads=3)), head_dim=16, tie_word_embeddings=False), 6, shard="20KB")

for label, config in {
    "Llama-3.1-8B": LlamaConfig(hidden_size=4096, num_attention_heads=32, head_dim=128, max_position_embeddings=131072, rope_parameters=dict(
        rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)),
    "Llama-3.2-1B": LlamaConfig(hidden_size=2048, num_attention_heads=32, head_dim=64, max_position_embeddings=131072, rope_parameters=dict(
        rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)),
}.items():
    frequencies, factor = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    print(label, factor, ", ".join(f"{v:.9g}f" for v in frequencies.tolist()))
