"""Kata: the decoder of today. The why, a figure and hints: docs/modern/decoder.md."""

import os
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from .rope import RotaryScaling


@dataclass(frozen=True)
class DecoderConfig:
    """The values that tell one model of the Llama, Qwen3 and Mixtral families from another.

    A head_dim of None is emb_dim / num_heads. hidden_dim is the width of the feedforward part. num_experts of 0 means
    one feedforward part for all tokens; above 0 it is a mixture of so many experts, of which each token uses top_k.
    """

    vocab_size: int
    context_length: int
    emb_dim: int
    hidden_dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int | None = None
    qk_norm: bool = False
    rope_base: float = 10_000.0
    rope_scaling: RotaryScaling | None = None
    norm_eps: float = 1e-6
    tie_embeddings: bool = False
    num_experts: int = 0
    top_k: int = 0
    qkv_bias: bool = False


class DecoderBlock(nn.Module):
    """Attention and a feedforward part, each with a norm before it and a shortcut around both.

    Shapes: input and output (batch, tokens, emb_dim). cache is what GroupedQueryAttention takes. Classes of earlier
    katas to import:

        from .grouped_query import GroupedQueryAttention
        from .mixture_of_experts import MoE
        from .rmsnorm import RMSNorm
        from .swiglu import SwiGLU

    Clauses:
        block-parts  norm1 and norm2 are RMSNorm with norm_eps, att is a GroupedQueryAttention that gets angles, and ff
                     is SwiGLU, or MoE if num_experts is above 0, with config's sizes.
        pre-norm     x + att(norm1(x), cache) gives y, and the output is y + ff(norm2(y)).

    Source: Touvron et al. 2023 (Llama), section 2.2.
    """

    def __init__(self, config: DecoderConfig, angles: Float[Tensor, "context_length pairs"]) -> None:
        raise NotImplementedError

    def forward(
        self, x: Float[Tensor, "batch tokens emb_dim"], cache: Any = None
    ) -> Float[Tensor, "batch tokens emb_dim"]:
        raise NotImplementedError


class DecoderModel(nn.Module):
    """Token ids in; out, for each position, the logits of the next token, as Llama, Qwen3 and Mixtral compute them.

    Shapes: ids (batch, tokens), output (batch, tokens, vocab_size). cache[i] is what block i takes as its cache. A
    function of an earlier kata to import:

        from .rope import rotary_angles

    Clauses:
        parts     The parameters are those of tok_emb (nn.Embedding), num_layers DecoderBlock in trf_blocks, final_norm
                  (RMSNorm with norm_eps) and out_head (nn.Linear without bias).
        rotation  All blocks get rotary_angles(head_dim, context_length, rope_base, rope_scaling).
        logits    The logits are out_head(final_norm(x)), where x has gone from tok_emb through all blocks in order.
        cached    With a cache, block i uses cache[i], and a text in chunks gets the logits of the whole text.
        tied      With tie_embeddings, out_head.weight is the same parameter as tok_emb.weight.

    Further clauses:
        initial-loss  The loss of a new model on random ids is within 0.5 of ln(vocab_size), tied or not.

    Not allowed: transformers, TransformerEncoder, TransformerEncoderLayer, TransformerDecoder, TransformerDecoderLayer.
    Source: Touvron et al. 2023 (Llama), section 2.2; Qwen Team 2025 (Qwen3); Jiang et al. 2024 (Mixtral).
    """

    def __init__(self, config: DecoderConfig) -> None:
        raise NotImplementedError

    def forward(self, ids: Int[Tensor, "batch tokens"], cache: Any = None) -> Float[Tensor, "batch tokens vocab_size"]:
        raise NotImplementedError


def load_pretrained(model: DecoderModel, path: str | os.PathLike[str]) -> None:
    """Load published weights of a Llama, Qwen3 or Mixtral into a DecoderModel of their sizes.

    path is a safetensors file, or a folder with model.safetensors, or a folder with model.safetensors.index.json. This
    index has an object weight_map, from the name of each tensor to the name of the file in the folder that holds it.
    The names of the tensors, and the part of the model that each belongs to:

        model.embed_tokens.weight                           tok_emb
        model.layers.0.input_layernorm.weight               norm1 of trf_blocks.0
        model.layers.0.self_attn.q_proj.weight              att.W_query; k_proj att.W_key, v_proj att.W_value
        model.layers.0.self_attn.q_proj.bias                its bias, with qkv_bias; k_proj and v_proj likewise
        model.layers.0.self_attn.q_norm.weight              att.query_norm, with qk_norm; k_norm att.key_norm
        model.layers.0.self_attn.o_proj.weight              att.out_proj
        model.layers.0.post_attention_layernorm.weight      norm2
        model.layers.0.mlp.gate_proj.weight                 ff.gate_proj; up_proj and down_proj likewise
        model.layers.0.block_sparse_moe.gate.weight         ff.router, with experts
        model.layers.0.block_sparse_moe.experts.0.w1.weight ff.experts.0.gate_proj; w2 down_proj, w3 up_proj
        model.norm.weight                                   final_norm
        lm_head.weight                                      out_head

    and so on with layers.1 for trf_blocks.1.

    Clauses:
        names         Each parameter of a model without experts gets the tensor of its name in this table, as it is.
        no-head       A tied model needs no lm_head.weight.
        shards        Where the folder has an index, the tensors come from all files that it names.

    Further clauses:
        experts       Each parameter of a model with experts gets the tensor of its name in this table.
        dtype         The numbers are converted to the dtype of each parameter, such as bfloat16 to float32.
        in-place      The parameters are filled and not replaced, so ties and optimizers keep them.
        other-head    A tied model refuses an lm_head.weight that differs from model.embed_tokens.weight, with a
                      ValueError that names it; an equal one is accepted.
        missing       A missing tensor raises a ValueError that names it.
        unexpected    A tensor that has no place in the model raises a ValueError that names it.
        shapes        A tensor of another shape raises a ValueError that names it and its shape.
        integers      A tensor of integers, as in quantized files, raises a ValueError that names it.
        not-a-file    A file that is missing or no complete safetensors file, or an index without a weight_map of
                      names, raises a ValueError that names its path.
        outside       An index that names a file outside of the folder raises a ValueError with that name.
        unchanged     After a refusal the model is as it was before.
    """
    raise NotImplementedError
