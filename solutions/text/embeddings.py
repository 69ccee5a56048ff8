"""Kata: embeddings. The why, a figure and hints: docs/text/embeddings.md."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """A table that gives each id of a vocabulary a vector, to be learned.

    Shapes: ids of any shape, output the same shape with emb_dim added at the end.

    Clauses:
        weight     The only parameter is weight, of shape (vocab_size, emb_dim).
        row        Id i becomes row i of weight: with the rows (1, 2), (3, 4), (5, 6), ids 2, 0 become (5, 6), (1, 2).
        shape      The axes of the ids stay as they are, and emb_dim becomes the last axis.
        gradients  The gradient of a row is the sum over all places where its id occurs. Other rows get 0.

    Further clauses:
        int32  int32 ids give the same vectors as int64 ids.
        range  An id below 0, or not below vocab_size, raises a ValueError that names the id and vocab_size.

    Not allowed: Embedding, EmbeddingBag, embedding, embedding_bag, one_hot.
    Source: book section 2.7; Bengio et al. 2003, section 2.
    """

    def __init__(self, vocab_size: int, emb_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, emb_dim))

    def forward(self, token_ids: Int[Tensor, "*axes"]) -> Float[Tensor, "*axes emb_dim"]:
        vocab_size = len(self.weight)
        outside = token_ids[(token_ids < 0) | (token_ids >= vocab_size)]
        if len(outside):
            raise ValueError(f"id {outside[0]} does not fit a vocab_size of {vocab_size}")
        return self.weight[token_ids]  # (*axes, emb_dim)


class InputEmbedding(nn.Module):
    """The input of a model: for each token the sum of two vectors, one for its id and one for its position.

    Shapes: ids (batch, tokens), output (batch, tokens, emb_dim), tokens up to context_length.

    Clauses:
        tables         tok_emb is TokenEmbedding(vocab_size, emb_dim).
                       pos_emb is TokenEmbedding(context_length, emb_dim).
        sum            The output at position t is the token's row of tok_emb plus row t of pos_emb. t starts at 0.
        shorter        Fewer tokens than context_length get the first rows of pos_emb.
        sum-gradients  The gradients of both tables are those of this sum.

    Further clauses:
        seed        After a seed, tok_emb and then pos_emb hold the numbers that two nn.Embedding would hold.
        state-dict  The state dict holds the two tables and nothing else.
        too-long    More tokens than context_length raise a ValueError that names both numbers.
        dtype       The output has the dtype of the parameters, with its precision.
        device      Tensors that a call creates are on the device of the ids.

    Source: book section 2.8; Radford et al. 2018, section 3.1.
    """

    def __init__(self, vocab_size: int, context_length: int, emb_dim: int) -> None:
        super().__init__()
        self.tok_emb = TokenEmbedding(vocab_size, emb_dim)
        self.pos_emb = TokenEmbedding(context_length, emb_dim)

    def forward(self, token_ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens emb_dim"]:
        tokens, context_length = token_ids.shape[1], len(self.pos_emb.weight)
        if tokens > context_length:
            raise ValueError(f"{tokens} tokens do not fit a context_length of {context_length}")
        positions = torch.arange(tokens, device=token_ids.device)
        return self.tok_emb(token_ids) + self.pos_emb(positions)
