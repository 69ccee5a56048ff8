"""GPT-2's weights as section 5.5 goes about it: new parameters, transposed and cut; here from Hugging Face's names."""

import re

import torch
from safetensors.torch import load_file


def assign(left, right):
    if left.shape != right.shape:
        raise ValueError(f"shape mismatch: {left.shape}, {right.shape}")
    return torch.nn.Parameter(right.clone().detach())


def load_gpt2_weights(model, tensors_or_path):
    params = tensors_or_path if isinstance(tensors_or_path, dict) else load_file(tensors_or_path)
    model.pos_emb.weight = assign(model.pos_emb.weight, params["wpe.weight"])
    model.tok_emb.weight = assign(model.tok_emb.weight, params["wte.weight"])
    for number, block in enumerate(model.trf_blocks):
        name = f"h.{number}."
        weights = params[name + "attn.c_attn.weight"].chunk(3, dim=-1)
        biases = params[name + "attn.c_attn.bias"].chunk(3, dim=-1)
        for layer, weight, bias in zip(
            (block.att.W_query, block.att.W_key, block.att.W_value), weights, biases, strict=True
        ):
            layer.weight = assign(layer.weight, weight.T)
            layer.bias = assign(layer.bias, bias)
        linears = {"attn.c_proj": block.att.out_proj, "mlp.c_fc": block.ff.layers[0], "mlp.c_proj": block.ff.layers[2]}
        for theirs, layer in linears.items():
            layer.weight = assign(layer.weight, params[f"{name}{theirs}.weight"].T)
            layer.bias = assign(layer.bias, params[f"{name}{theirs}.bias"])
        for theirs, norm in {"ln_1": block.norm1, "ln_2": block.norm2}.items():
            norm.scale = assign(norm.scale, params[f"{name}{theirs}.weight"])
            norm.shift = assign(norm.shift, params[f"{name}{theirs}.bias"])
    model.final_norm.scale = assign(model.final_norm.scale, params["ln_f.weight"])
    model.final_norm.shift = assign(model.final_norm.shift, params["ln_f.bias"])
    model.out_head.weight = assign(model.out_head.weight, params["wte.weight"])


def load_book_state_dict(model, state):
    own = {name: tensor for name, tensor in state.items() if not re.fullmatch(r"trf_blocks\.\d+\.att\.mask", name)}
    model.load_state_dict(own)
