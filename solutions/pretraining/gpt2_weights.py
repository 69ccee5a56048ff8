"""Kata: GPT-2's weights. The why, a figure and hints: docs/pretraining/gpt2_weights.md."""

import os
import re
from collections.abc import Mapping

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


def load_gpt2_weights(model: nn.Module, tensors_or_path: Mapping[str, Tensor] | str | os.PathLike[str]) -> None:
    """Load the weights of a GPT-2 into a GPTModel, from a dict or a safetensors file in Hugging Face's layout.

    These are the names and shapes, with d for emb_dim, and the part of the model that each belongs to:

        wte.weight (vocab_size, d)                                    tok_emb
        wpe.weight (context_length, d)                                pos_emb
        h.0.ln_1.weight (d), h.0.ln_1.bias (d)                        scale and shift of trf_blocks.0.norm1
        h.0.attn.c_attn.weight (d, 3 d), h.0.attn.c_attn.bias (3 d)   trf_blocks.0.att.W_query, W_key, W_value
        h.0.attn.c_proj.weight (d, d), h.0.attn.c_proj.bias (d)       trf_blocks.0.att.out_proj
        h.0.ln_2.weight (d), h.0.ln_2.bias (d)                        scale and shift of trf_blocks.0.norm2
        h.0.mlp.c_fc.weight (d, 4 d), h.0.mlp.c_fc.bias (4 d)         trf_blocks.0.ff.layers.0
        h.0.mlp.c_proj.weight (4 d, d), h.0.mlp.c_proj.bias (d)       trf_blocks.0.ff.layers.2
        ln_f.weight (d), ln_f.bias (d)                                scale and shift of final_norm
        lm_head.weight (vocab_size, d), which is usually missing      out_head

    and so on with h.1 for trf_blocks.1. The model has biases in W_query, W_key and W_value.

    Clauses:
        tables        tok_emb and pos_emb get wte.weight and wpe.weight as they are.
        norms         The scale and shift of each norm are the weight and bias of the same ln.
        transposed    The weights of c_proj and c_fc have the shape (in, out), so they are transposed for nn.Linear.
        biases        The biases of out_proj and of both layers of ff are those of c_proj and c_fc.
        fused         c_attn is cut along its last axis into W_query, W_key and W_value, in this order, and each part of
                      its weight is transposed.
        head          Without lm_head.weight, out_head gets wte.weight.
        masks         h.0.attn.bias and h.0.attn.masked_bias, of any block, are causal masks and are left out.
        path          The argument may be the path of a safetensors file, a str or a Path.

    Further clauses:
        prefix        Any of the names may start with "transformer.".
        lm-head       With lm_head.weight, out_head gets it.
        in-place      The parameters are filled and not replaced, so ties and optimizers keep them.
        dtype         The numbers are converted to the dtype of each parameter, in one step.
        copy          The given tensors are copied: changing one of the two later does not change the other.
        missing       A missing tensor raises a ValueError that names it.
        unexpected    A tensor that has no place in the model raises a ValueError that names it.
        shapes        A tensor of another shape raises a ValueError that names it and its shape.
        qkv-bias      A model without biases in W_query, W_key and W_value raises a ValueError that names qkv_bias.
        not-a-file    A file that is not a complete safetensors file raises a ValueError that names the path.
        unchanged     After a refusal the model is as it was before.

    Not allowed: transformers, pickle.
    Source: book section 5.5; Radford et al. 2019, section 2.3.
    """
    given = tensors_or_path if isinstance(tensors_or_path, Mapping) else _read(tensors_or_path)
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in given.items()}
    tensors = {
        name: tensor for name, tensor in tensors.items() if not re.fullmatch(r"h\.\d+\.attn\.(masked_)?bias", name)
    }

    def take(name: str, *shape: int) -> Tensor:
        if name not in tensors:
            raise ValueError(f"{name} is missing")
        tensor = tensors.pop(name)
        if tensor.shape != shape:
            raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, and the model needs {shape}")
        return tensor

    parameters = dict(model.named_parameters(remove_duplicate=False))
    vocab_size, d = parameters["tok_emb.weight"].shape
    table = take("wte.weight", vocab_size, d)
    ours = {
        "tok_emb.weight": table,
        "pos_emb.weight": take("wpe.weight", len(parameters["pos_emb.weight"]), d),
        "final_norm.scale": take("ln_f.weight", d),
        "final_norm.shift": take("ln_f.bias", d),
        "out_head.weight": take("lm_head.weight", vocab_size, d) if "lm_head.weight" in tensors else table,
    }
    blocks = {name.split(".")[1] for name in parameters if name.startswith("trf_blocks.")}
    for block in blocks:
        mine, theirs = f"trf_blocks.{block}", f"h.{block}"
        if f"{mine}.att.W_query.bias" not in parameters:
            raise ValueError("GPT-2 has biases in W_query, W_key and W_value: build the model with qkv_bias=True")
        for norm, ln in (("norm1", "ln_1"), ("norm2", "ln_2")):
            ours[f"{mine}.{norm}.scale"] = take(f"{theirs}.{ln}.weight", d)
            ours[f"{mine}.{norm}.shift"] = take(f"{theirs}.{ln}.bias", d)
        weights = take(f"{theirs}.attn.c_attn.weight", d, 3 * d).split(d, dim=1)
        biases = take(f"{theirs}.attn.c_attn.bias", 3 * d).split(d)
        for layer, weight, bias in zip(("W_query", "W_key", "W_value"), weights, biases, strict=True):
            ours[f"{mine}.att.{layer}.weight"] = weight.mT
            ours[f"{mine}.att.{layer}.bias"] = bias
        linears = (
            ("att.out_proj", "attn.c_proj", d, d),
            ("ff.layers.0", "mlp.c_fc", d, 4 * d),
            ("ff.layers.2", "mlp.c_proj", 4 * d, d),
        )
        for layer, conv, inputs, outputs in linears:
            ours[f"{mine}.{layer}.weight"] = take(f"{theirs}.{conv}.weight", inputs, outputs).mT
            ours[f"{mine}.{layer}.bias"] = take(f"{theirs}.{conv}.bias", outputs)
    if tensors:
        raise ValueError(f"{min(tensors)} has no place in the model")
    _fill(parameters, ours)


def load_book_state_dict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load the state dict of the book's GPTModel into a GPTModel.

    Clauses:
        book-names    The names are those of the model: each parameter gets the tensor of its name.
        book-masks    trf_blocks.0.att.mask, of any block, is a causal mask and is left out.

    Further clauses:
        book-fits     A tensor that is missing, unexpected or of another shape raises a ValueError that names it.

    Source: book section 5.4, which saves one.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    tensors = {name: tensor for name, tensor in state.items() if not name.endswith(".att.mask")}
    for name in sorted(parameters.keys() | tensors.keys()):
        if name not in tensors or name not in parameters:
            raise ValueError(f"{name} is in only one of the model and the state dict")
        if tensors[name].shape != parameters[name].shape:
            raise ValueError(f"{name} does not have the shape {tuple(parameters[name].shape)} that the model needs")
    _fill(parameters, tensors)


@torch.no_grad()
def _fill(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        parameters[name].copy_(tensor)


def _read(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except Exception as error:
        raise ValueError(f"{path} is not a complete safetensors file: {error}") from error
