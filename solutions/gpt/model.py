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

    Shapes: token_ids (batch, tokens), with 1 to context_length tokens; output (batch, tokens, vocab_size). emb_dim and
    the other sizes are those of config. Two classes of earlier katas to import:

        from .block import TransformerBlock
        from .layernorm import LayerNorm

    Clauses:
        parts       The parameters are those of two nn.Embedding, tok_emb (vocab_size rows) and pos_emb (context_length
                    rows), of n_layers TransformerBlock in trf_blocks, of final_norm and out_head (no bias).
        example     If the blocks change nothing, token (4, 0) at position (1, 9) makes (5, 9), normalized (-1, 1);
                    out_head rows (1, 0), (0, 1), (4, 0) give -1, 1, -4.
        embeddings  At position t the first block reads the row of the token in tok_emb plus row t of pos_emb, counted
                    from 0.
        in-order    Each block is called once and reads what the block before it gave.
        logits      The logits of every position are out_head of final_norm of what the last block gave, without a
                    softmax.
        gradients   A backward pass gives gradients to all parameters.
        dropout     In training mode, numbers that the first block reads are dropped, each on its own with probability
                    drop_rate, the others divided by 1 - drop_rate; later nothing is dropped.
        eval        In eval mode nothing is dropped.

    Further clauses:
        attention     Each block is TransformerBlock(config, attention).
        seed          The parts are created in the order of their names above, so a seed gives the book's numbers.
        initial-loss  The loss of a new model on random ids is within 0.5 of ln(vocab_size), in nats per token.
        length        More tokens than context_length raise a ValueError with both numbers.
        range         An id below 0, or not below vocab_size, raises an IndexError, as nn.Embedding does.
        dtype         The logits have the dtype of the parameters, with that dtype's precision.
        int32         Ids may be int32 as well as int64.
        device        Tensors that a call creates are on the device of the ids, whatever the default device is.
        pure          A call changes neither the ids nor the model.

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
    """The number of a model's parameters; with tied, their number if out_head used the table of tok_emb.

    Clauses:
        counted  All numbers of all parameters are counted, also of frozen ones; buffers are not.
        tied     With tied, the numbers of out_head.weight are not counted, and the model is not changed.

    Further clauses:
        shared      A parameter that is used in several places is counted once, also if it is out_head.weight.
        untied      With tied, a model without tok_emb.weight or out_head.weight raises a ValueError that names the one.
        gpt2-small  GPT-2 small, without qkv_bias, has 163 009 536 parameters, and tied 124 412 160.

    Source: book section 4.6.
    """
    total = sum(parameter.numel() for parameter in model.parameters())  # a shared parameter is listed once
    if not tied:
        return total
    table, head = _weight(model, "tok_emb"), _weight(model, "out_head")
    return total if head is table else total - head.numel()


def _weight(model: nn.Module, name: str) -> Tensor:
    weight = getattr(getattr(model, name, None), "weight", None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"the model has no {name}.weight, so it cannot be tied")
    return weight
