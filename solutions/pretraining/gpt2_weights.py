"""Kata: GPT-2's weights. The why, a figure and hints: docs/pretraining/gpt2_weights.md."""

import os
import re
from collections.abc import Mapping

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


def load_gpt2_weights(model: nn.Module, tensors_or_path: Mapping[str, Tensor] | str | os.PathLike[str]) -> None:
    """Give a GPTModel the weights of a GPT-2, from a dict or a safetensors file in the layout of Hugging Face.

    These are the names and shapes, with d for emb_dim, and what of the model they are for:

        wte.weight (vocab_size, d)                                    tok_emb
        wpe.weight (context_length, d)                                pos_emb
        h.0.ln_1.weight (d), h.0.ln_1.bias (d)                        scale and shift of trf_blocks.0.norm1
        h.0.attn.c_attn.weight (d, 3 d), h.0.attn.c_attn.bias (3 d)   trf_blocks.0.att.W_query, W_key, W_value
        h.0.attn.c_proj.weight (d, d), h.0.attn.c_proj.bias (d)       trf_blocks.0.att.out_proj
        h.0.ln_2.weight (d), h.0.ln_2.bias (d)                        scale and shift of trf_blocks.0.norm2
        h.0.mlp.c_fc.weight (d, 4 d), h.0.mlp.c_fc.bias (4 d)         trf_blocks.0.ff.layers.0
        h.0.mlp.c_proj.weight (4 d, d), h.0.mlp.c_proj.bias (d)       trf_blocks.0.ff.layers.2
        ln_f.weight (d), ln_f.bias (d)                                scale and shift of final_norm
        lm_head.weight (vocab_size, d), which may be missing          out_head

    and so on with h.1 for trf_blocks.1.

    Clauses:
        rows        The tables, the norms and all biases but c_attn's go over as they are, number for number.
        turned      The weights of c_proj and c_fc have the shape (in, out), for x @ weight + bias: nn.Linear has them
                    transposed.
        fused       c_attn is three layers in one. The first d columns of its weight and the first d numbers of its bias
                    are those of W_query, the next of W_key, the last of W_value.
        head        out_head gets lm_head.weight, or wte.weight where there is no lm_head.weight.
        blocks      Each block gets its own, of however many blocks there are.
        logits      In eval mode, the logits and the gradients are those of that GPT-2.
        prefix      transformer. may stand before any of the names.
        masks       h.0.attn.bias, h.0.attn.masked_bias and those of other blocks, which old files have, are left out,
                    whatever they hold.
        filled      Parameters are filled, not replaced: they stay tied where they are tied, on their device, and frozen
                    or not. They keep their dtype too, to which float16, bfloat16, float32 and float64 are converted in
                    one step. The mode of the model stays.
        own         What was given is not changed, and what happens to it afterwards, or to the file, changes no model.
        path        The path of a safetensors file, a str or a Path, is as good as a dict of its tensors.
        no-file     A file that is no safetensors file, or not all of one, raises a ValueError that names path. No file
                    at all is a FileNotFoundError.
        missing     A tensor that the model needs, and that is not there, raises a ValueError that names it.
        unexpected  A tensor that has no place in the model raises a ValueError that names it. So does one that is there
                    twice, with transformer. and without.
        shapes      A tensor of another shape raises a ValueError that names it, its shape, and the one that is needed.
        qkv-bias    A model without biases in W_query, W_key and W_value raises a ValueError that says qkv_bias=True.
        untied      Where out_head is tied to tok_emb, an lm_head.weight other than wte.weight raises a ValueError that
                    names both.
        floats      A tensor of any other dtype than the four raises a ValueError that names it and the dtype.
        kept        What is refused leaves the model as it was.

    Not allowed: transformers, pickle.
    Source: book section 5.5; Radford et al. 2019, section 2.3.
    """
    places = _places_of_gpt2(model)
    tensors = tensors_or_path if isinstance(tensors_or_path, Mapping) else _read(tensors_or_path)
    given: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = name.removeprefix("transformer.")
        if plain in given:
            raise ValueError(f"{plain} is there twice, with transformer. and without")
        if not re.fullmatch(r"h\.\d+\.attn\.(masked_)?bias", plain):
            given[plain] = tensor
    if "wte.weight" in given:
        given.setdefault("lm_head.weight", given["wte.weight"])
    _fill(places, given, "wte.weight", "lm_head.weight")


def load_book_state_dict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a GPTModel the state dict of the book's GPTModel.

    Clauses:
        book         The names are the model's own: each tensor goes into the parameter of its name, as above.
        book-masks   trf_blocks.0.att.mask, and those of other blocks, are left out, whatever they hold.
        book-differs A tensor that is missing, unexpected, of another shape or no such float raises a ValueError as
                     above, and so do two that differ, out_head.weight and tok_emb.weight, where the model ties them.
                     The model is left as it was.

    Source: book section 5.4, which saves one.
    """
    given = {name: tensor for name, tensor in state.items() if not re.fullmatch(r"trf_blocks\.\d+\.att\.mask", name)}
    places = {name: [parameter] for name, parameter in model.state_dict(keep_vars=True).items()}
    _fill(places, given, "tok_emb.weight", "out_head.weight")


_NORMS = {"ln_1": "norm1", "ln_2": "norm2"}
_LINEARS = {
    "attn.c_attn": ("att.W_query", "att.W_key", "att.W_value"),
    "attn.c_proj": ("att.out_proj",),
    "mlp.c_fc": ("ff.layers.0",),
    "mlp.c_proj": ("ff.layers.2",),
}
_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


def _places_of_gpt2(model: nn.Module) -> dict[str, list[Tensor]]:
    """Where each of GPT-2's tensors goes: into views of the model's parameters that lie side by side in it."""
    own = model.state_dict(keep_vars=True)
    places = {
        "wte.weight": [own["tok_emb.weight"]],
        "wpe.weight": [own["pos_emb.weight"]],
        "ln_f.weight": [own["final_norm.scale"]],
        "ln_f.bias": [own["final_norm.shift"]],
        "lm_head.weight": [own["out_head.weight"]],
    }
    blocks = {name.split(".")[1] for name in own if name.startswith("trf_blocks.")}
    for block in sorted(blocks, key=int):
        mine, theirs = f"trf_blocks.{block}", f"h.{block}"
        if f"{mine}.att.W_query.bias" not in own:
            raise ValueError(f"GPT-2 has biases where {mine}.att.W_query has none: make the model with qkv_bias=True")
        for name, norm in _NORMS.items():
            places[f"{theirs}.{name}.weight"] = [own[f"{mine}.{norm}.scale"]]
            places[f"{theirs}.{name}.bias"] = [own[f"{mine}.{norm}.shift"]]
        for name, layers in _LINEARS.items():
            # What is written into a transposed view stands transposed in the parameter.
            places[f"{theirs}.{name}.weight"] = [own[f"{mine}.{layer}.weight"].detach().mT for layer in layers]
            places[f"{theirs}.{name}.bias"] = [own[f"{mine}.{layer}.bias"] for layer in layers]
    return places


def _fill(places: dict[str, list[Tensor]], given: dict[str, Tensor], table: str, head: str) -> None:
    """Copy each tensor into its places, cut along the last axis, if all fit; table and head may be the same place."""
    for name in places:
        if name not in given:
            raise ValueError(f"{name} is missing")
    for name, tensor in given.items():
        if name not in places:
            raise ValueError(f"{name} has no place in the model")
        shape, wanted = tuple(tensor.shape), _joined_shape(places[name])
        if shape != wanted:
            raise ValueError(f"{name} has the shape {shape}, and the model needs {wanted}")
        if tensor.dtype not in _FLOATS:
            raise ValueError(f"{name} is {tensor.dtype}, and no float of 16, 32 or 64 bits")
    dtype = places[table][0].dtype
    if places[table][0] is places[head][0] and not torch.equal(given[table].to(dtype), given[head].to(dtype)):
        raise ValueError(f"{head} differs from {table}, and the model has one tensor for both")
    with torch.no_grad():
        for name, parts in places.items():
            for part, numbers in zip(parts, given[name].split([part.shape[-1] for part in parts], dim=-1), strict=True):
                part.copy_(numbers)


def _joined_shape(parts: list[Tensor]) -> tuple[int, ...]:
    return (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))


def _read(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    with open(path, "rb"):  # what cannot be opened is an OSError
        pass
    try:
        return load_file(path)
    except Exception as error:
        raise ValueError(f"{path} is no safetensors file, or not all of one: {error}") from error
