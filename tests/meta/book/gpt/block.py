"""The transformer block as sections 4.4 and 4.5 of the book describe it: it always makes the same attention."""

from torch import nn

from katas.attention.multihead import MultiHeadAttention
from katas.gpt.feedforward import FeedForward
from katas.gpt.layernorm import LayerNorm


class TransformerBlock(nn.Module):
    def __init__(self, config, attention=None):
        super().__init__()
        self.att = MultiHeadAttention(
            d_in=config.emb_dim,
            d_out=config.emb_dim,
            context_length=config.context_length,
            num_heads=config.n_heads,
            dropout=config.drop_rate,
            qkv_bias=config.qkv_bias,
        )
        self.ff = FeedForward(config.emb_dim)
        self.norm1 = LayerNorm(config.emb_dim)
        self.norm2 = LayerNorm(config.emb_dim)
        self.drop_shortcut = nn.Dropout(config.drop_rate)

    def forward(self, x):
        kept = x
        for norm, part in ((self.norm1, self.att), (self.norm2, self.ff)):
            kept = kept + self.drop_shortcut(part(norm(kept)))
        return kept
