"""Kata: the GPT model. The why, a figure and hints: docs/gpt/model.md."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..attention.multihead import MultiHeadAttention
from .block import TransformerBlock
from .config import GPTConfig
from .layernorm import LayerNorm


class GPTModel(nn.Module):
    """Token ids in; out, for each position, a score for each token of the vocabulary: the logits of the next token.

    Axes: batch, tokens (1 to context_length), vocab_size scores out. Ids are int32 or int64, parameters of any floating
    dtype. emb_dim and the other sizes are those of config. Two classes of earlier katas come with:

        from .block import TransformerBlock
        from .layernorm import LayerNorm

    Clauses:
        parts      tok_emb is nn.Embedding(vocab_size, emb_dim), pos_emb nn.Embedding(context_length, emb_dim), drop_emb
                   nn.Dropout(drop_rate), trf_blocks an nn.Sequential of n_layers TransformerBlock, final_norm
                   LayerNorm(emb_dim), out_head nn.Linear(emb_dim, vocab_size, bias=False), made in that order, and
                   there are no other parts.
        attention  Every block is TransformerBlock(config, attention), each made anew, with numbers of its own.
        example    With blocks that give zeros for att and ff, the token (4, 0) at the position (1, 9) is (5, 9), which
                   final_norm makes (-1, 1); with the rows (1, 0), (0, 1), (2, 1) in out_head its logits are -1, 1, -1.
        sum        What the blocks read at position t is the token's row in tok_emb plus row t of pos_emb, t from 0.
        blocks     The blocks work one after the other, the first one first, each once on what the one before gave.
        head       The logits of a position are out_head of final_norm of what the last block gave, and no softmax.
        past       The logits at position t depend on the ids at positions 0..t of their own sequence only, also when
                   fewer tokens come than context_length.
        agrees     The logits are those that PyTorch's own functions give with the same parameters.
        gradients  Parameters get the gradients of that formula, all but the rows of unused ids and positions, which
                   get 0; under torch.no_grad the logits are the same.
        dropout    While training, drop_emb thins the sum of the two rows: each number is dropped with probability
                   drop_rate, on its own and anew at each call, and the others are divided by 1 - drop_rate. Behind the
                   blocks nothing is dropped, and in eval() nowhere.
        fresh      The loss of a new model on random ids is within 0.5 of ln(vocab_size), in nats per token.
        pure       A call changes neither the ids nor the model.
        dtype      The logits have the dtype of the parameters, with that dtype's precision, whichever of the two dtypes
                   the ids have.
        device     Whatever a call makes is on the device of the ids, whatever torch's default device is.
        length     More tokens than context_length raise a ValueError that names both numbers, whatever attention takes.
        range      An id below 0, or not below vocab_size, raises an IndexError, as nn.Embedding does.

    Not allowed: TransformerEncoder, TransformerEncoderLayer, TransformerDecoder, TransformerDecoderLayer.
    Source: book section 4.6; Radford et al. 2019, section 2.3.
    """

    def __init__(self, config: GPTConfig, attention: Callable[..., nn.Module] = MultiHeadAttention) -> None:
        super().__init__()
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.pos_emb = nn.Embedding(config.context_length, config.emb_dim)
        self.drop_emb = nn.Dropout(config.drop_rate)
        self.trf_blocks = nn.Sequential(*[TransformerBlock(config, attention) for _ in range(config.n_layers)])
        self.final_norm = LayerNorm(config.emb_dim)
        self.out_head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)

    def forward(self, token_ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens vocab_size"]:
        tokens, context_length = token_ids.shape[1], self.pos_emb.num_embeddings
        if tokens > context_length:
            raise ValueError(f"{tokens} tokens do not fit a context_length of {context_length}")
        positions = torch.arange(tokens, device=token_ids.device)
        x = self.drop_emb(self.tok_emb(token_ids) + self.pos_emb(positions))  # (batch, tokens, emb_dim)
        return self.out_head(self.final_norm(self.trf_blocks(x)))


def count_parameters(model: nn.Module, tied: bool = False) -> int:
    """How many numbers a model learns; tied, how many they would be if out_head used the table of tok_emb.

    Clauses:
        counted  Every number of every parameter counts, frozen or not, and buffers do not.
        shared   A parameter that stands in several places counts once.
        tied     With tied, out_head.weight counts nothing, as if it were tok_emb.weight, and is not taken away a second
                 time where it is tok_emb.weight already. The model stays as it is.
        untied   With tied, a model that lacks one of these two weights raises a ValueError that names it, tok_emb or
                 out_head; one whose weights differ in shape raises a ValueError that names both shapes, as tuples.
        small    GPT-2 small (a vocab_size of 50 257, a context_length of 1 024, emb_dim 768, 12 heads, 12 layers, no
                 qkv_bias) has 163 009 536, and tied 124 412 160.

    Source: book section 4.6.
    """
    spared = None
    if tied:
        table, head = _weight(model, "tok_emb"), _weight(model, "out_head")
        if table.shape != head.shape:
            raise ValueError(f"tok_emb of shape {tuple(table.shape)} is no out_head of shape {tuple(head.shape)}")
        spared = None if head is table else head
    # A parameter that is shared is listed once.
    return sum(parameter.numel() for parameter in model.parameters() if parameter is not spared)


def _weight(model: nn.Module, name: str) -> Tensor:
    weight = getattr(getattr(model, name, None), "weight", None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"the model has no {name}.weight, so there is nothing to tie")
    return weight
