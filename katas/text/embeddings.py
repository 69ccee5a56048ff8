"""Kata: embeddings. The why, a figure and hints: docs/text/embeddings.md."""

from jaxtyping import Float, Int
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """A table that gives each id of a vocabulary a vector, to be learned.

    Axes: any before emb_dim, such as batch and tokens; emb_dim features out. Any floating dtype.

    Clauses:
        weight     The only parameter is weight, (vocab_size, emb_dim), with nn.Embedding's numbers after the same seed.
        row        Id i becomes row i of weight: from the rows (1, 2), (3, 4), (5, 6), ids 2, 0 take (5, 6), (1, 2).
        one-hot    The result is the product of the one-hot vectors of the ids with weight.
        ids        Ids are int32 or int64, with any number of axes, of any size, to which the result adds emb_dim.
        gradients  The gradient reaches only the rows used, and adds up where an id occurs more than once.
        range      An id below 0, or not below vocab_size, raises a ValueError that names the id and vocab_size.

    Not allowed: Embedding, EmbeddingBag, embedding, embedding_bag, one_hot.
    Source: book section 2.7; Bengio et al. 2003, section 2.
    """

    def __init__(self, vocab_size: int, emb_dim: int) -> None:
        raise NotImplementedError

    def forward(self, token_ids: Int[Tensor, "*axes"]) -> Float[Tensor, "*axes emb_dim"]:
        raise NotImplementedError


class InputEmbedding(nn.Module):
    """What a model reads: for each token the sum of two vectors, one for what it is and one for where it stands.

    Axes: batch, tokens (0 to context_length), emb_dim features out. Any floating dtype.

    Clauses:
        parts    tok_emb is TokenEmbedding(vocab_size, emb_dim), pos_emb is TokenEmbedding(context_length, emb_dim),
                 made in that order, and nothing else is saved.
        sum      The result at position t is the row of the token in tok_emb plus row t of pos_emb, t counted from 0.
        places   The same token at two positions differs by the rows of the two positions.
        shorter  Fewer tokens than context_length are given the first positions, as when more tokens follow.
        rows     Each sequence of a batch comes out as it would alone.
        agrees   Output and gradients are those of two nn.Embedding, one asked for the ids and one for the positions.
        length   More tokens than context_length raise a ValueError that names both numbers.
        dtype    The output has the dtype of the parameters, with that dtype's precision.
        device   Whatever a call makes is on the device of the ids; on the meta device, where ids have no values, none
                 is checked.

    Source: book section 2.8; Radford et al. 2018, section 3.1.
    """

    def __init__(self, vocab_size: int, context_length: int, emb_dim: int) -> None:
        raise NotImplementedError

    def forward(self, token_ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens emb_dim"]:
        raise NotImplementedError
