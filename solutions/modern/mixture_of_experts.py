"""Kata: the mixture of experts. The why, a figure and hints: docs/modern/mixture_of_experts.md."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .swiglu import SwiGLU


class MoE(nn.Module):
    """Many feedforward parts, the experts, of which each token is read by the top_k that a router chooses for it.

    Shapes: input and output (..., emb_dim), with any axes before emb_dim, such as batch and tokens. A class of an
    earlier kata to import:

        from .swiglu import SwiGLU

    Clauses:
        parts      router is nn.Linear(emb_dim, num_experts, bias=False), and experts an nn.ModuleList of num_experts
                   SwiGLU(emb_dim, hidden_dim).
        example    With probabilities of 0.6, 0.3 and 0.1, top_k=2 and experts that give 3, 6 and 100, the output is
                   2/3 * 3 + 1/3 * 6 = 4.
        weights    The outputs of the chosen experts are added up, each weighted by its softmax over all router scores,
                   divided by the sum of these over the chosen ones.
        sparse     A token is read by its top_k experts and by no other. Zeros may fill the input of an expert up to
                   the number of tokens of the busiest one.
        idle       An expert that no token chooses adds nothing, and causes neither an error nor nan.
        gradients  The gradients of x, of the router and of the experts are those of this formula.

    Further clauses:
        top-k      A top_k below 1 or above num_experts raises a ValueError that names both numbers.
        axes       There may be any number of axes before emb_dim, and none.
        dtype      The output has the dtype of input and parameters, with that dtype's precision.
        pure       A call changes neither the input nor the module.

    Source: Shazeer et al. 2017; Jiang et al. 2024 (Mixtral), section 2.1.
    """

    def __init__(self, emb_dim: int, hidden_dim: int, num_experts: int, top_k: int) -> None:
        super().__init__()
        if not 1 <= top_k <= num_experts:
            raise ValueError(f"a top_k of {top_k} cannot be chosen from {num_experts} experts")
        self._top_k = top_k
        self.router = nn.Linear(emb_dim, num_experts, bias=False)
        self.experts = nn.ModuleList([SwiGLU(emb_dim, hidden_dim) for _ in range(num_experts)])

    def forward(self, x: Float[Tensor, "*axes emb_dim"]) -> Float[Tensor, "*axes emb_dim"]:
        tokens = x.reshape(-1, x.shape[-1])  # (tokens, emb_dim)
        weights, chosen = self.router(tokens).softmax(dim=-1).topk(self._top_k, dim=-1)  # each (tokens, top_k)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        mixed = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            readers, places = torch.where(chosen == number)
            output = weights[readers, places, None] * expert(tokens[readers])  # (readers, emb_dim)
            mixed = mixed.index_add(0, readers, output)
        return mixed.reshape(x.shape)


def load_balancing_loss(router_logits: Float[Tensor, "*axes num_experts"], top_k: int) -> Float[Tensor, ""]:
    """Give a loss that is lowest when all experts are used equally. A small multiple of it is added in training.

    Shapes: router_logits (..., num_experts), what the router gives for each token; the loss is a scalar.

    Clauses:
        loss-example   With two experts and top_k=1, probabilities of (0.8, 0.2) and (0.6, 0.4) for two tokens give
                       2 * (1 * 0.7 + 0 * 0.3) = 1.4.
        loss           It is num_experts * the sum over experts of share * mean: the share of tokens with the expert
                       among their top_k, and the mean of its softmax probability.
        loss-gradient  The gradient is that of this formula: the shares are counts and have none.

    Further clauses:
        loss-axes      With several axes before num_experts, such as batch and tokens, all tokens count alike.

    Source: Fedus et al. 2022 (Switch), section 2.2; for top_k above 1 Jiang et al. 2024 (Mixtral) as in transformers.
    """
    num_experts = router_logits.shape[-1]
    probabilities = router_logits.reshape(-1, num_experts).softmax(dim=-1)  # (tokens, num_experts)
    chosen = probabilities.topk(top_k, dim=-1).indices  # (tokens, top_k)
    shares = torch.zeros_like(probabilities).scatter(1, chosen, 1.0).mean(dim=0)  # (num_experts,)
    return num_experts * (shares * probabilities.mean(dim=0)).sum()
