"""Kata: GPT-2's weights. The why, a figure and hints: docs/pretraining/gpt2_weights.md."""

import os
from collections.abc import Mapping

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
    raise NotImplementedError


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
    raise NotImplementedError
