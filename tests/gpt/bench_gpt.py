"""The whole GPT beside that of transformers: forward, a training step, generation, and the memory of each.

Run with `python -m pytest --solutions tests/gpt/bench_gpt.py` where transformers is installed; `--quick` takes the
smaller model only. Before anything is timed, both models get the same weights and are proved to give the same logits
and gradients. What is asserted are ratios of times measured in turn, in this run; seconds are only told.
"""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn

from dojo.ladder.measuring import Step, in_turn, median, peak_of
from tests.support import close, numbers

transformers = pytest.importorskip("transformers", reason="the GPT is compared with transformers, which is not there")
from katas.gpt.config import GPTConfig  # noqa: E402
from katas.gpt.generate import generate_greedy  # noqa: E402
from katas.gpt.model import GPTModel  # noqa: E402
from katas.pretraining.gpt2_weights import load_gpt2_weights  # noqa: E402
from katas.pretraining.loss import batch_loss  # noqa: E402
from katas.pretraining.optimizer import AdamW  # noqa: E402

OURS, FUSED, EAGER, SDPA = "ours", "ours, fused attention", "transformers, eager", "transformers, sdpa"
NEW = 32  # tokens that a generation adds to as many


class FusedAttention(nn.Module):
    """What can be plugged into a block in place of the kata's attention: the same layers, and PyTorch's own kernel."""

    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias=False):
        super().__init__()
        self.W_query, self.W_key, self.W_value = (nn.Linear(d_in, d_out, bias=qkv_bias) for _ in range(3))
        self.out_proj = nn.Linear(d_out, d_out)
        self.num_heads = num_heads

    def forward(self, x):
        parts = (layer(x).unflatten(-1, (self.num_heads, -1)) for layer in (self.W_query, self.W_key, self.W_value))
        queries, keys, values = (part.transpose(1, 2) for part in parts)  # (batch, heads, tokens, head_dim)
        mixed = nn.functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class Size:
    layers: int
    width: int
    heads: int
    vocab_size: int
    tokens: int
    batch: int

    def __str__(self):
        return f"{self.layers}x{self.width}"


SIZES = Size(6, 384, 6, 8_192, 256, 4), Size(12, 768, 12, 50_257, 256, 1)


def made(size):
    """Four models with the same weights; no dropout, and a head of its own in all of them."""
    settings = {
        "vocab_size": size.vocab_size, "n_positions": size.tokens, "n_embd": size.width, "n_layer": size.layers,
        "n_head": size.heads, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0, "tie_word_embeddings": False,
    }  # fmt: skip
    torch.manual_seed(0)
    theirs = {}
    for name, attention in ((EAGER, "eager"), (SDPA, "sdpa")):
        config = transformers.GPT2Config(**settings, attn_implementation=attention, bos_token_id=0, eos_token_id=0)
        theirs[name] = transformers.GPT2LMHeadModel(config)
    theirs[SDPA].load_state_dict(theirs[EAGER].state_dict())
    config = GPTConfig(size.vocab_size, size.tokens, size.width, size.heads, size.layers, 0.0, True)
    ours = {OURS: GPTModel(config), FUSED: GPTModel(config, attention=FusedAttention)}
    for model in ours.values():
        load_gpt2_weights(model, theirs[EAGER].state_dict())
    return ours | theirs


def logits_of(model, ids):
    found = model(ids)
    return found if isinstance(found, torch.Tensor) else found.logits


def loss_of(model, inputs, targets):
    """Ours by the kata, theirs by PyTorch's own."""
    if isinstance(model, GPTModel):
        return batch_loss(model, inputs, targets)
    return nn.functional.cross_entropy(model(inputs).logits.flatten(0, 1), targets.flatten())


def first_weight(model):
    """The parameter that the gradient reaches last."""
    return model.tok_emb.weight if isinstance(model, GPTModel) else model.transformer.wte.weight


def proved(models, inputs, targets):
    """All of them give the same logits, loss and gradients, before any of them is timed."""
    expected = None
    for name, model in models.items():
        loss = loss_of(model, inputs, targets)
        loss.backward()
        with torch.no_grad():
            found = logits_of(model, inputs), loss.detach(), first_weight(model).grad.clone()
        model.zero_grad(set_to_none=True)
        expected = expected or found
        for what, mine, right in zip(("logits", "loss", "gradient"), found, expected, strict=True):
            close(mine, right, f"before timing: the {what} of {name}", rtol=1e-3, atol=1e-4)


def forward(model, inputs, targets):
    with torch.no_grad():
        logits_of(model, inputs)


def training_step(model, inputs, targets, *, optimizer):
    optimizer.zero_grad(set_to_none=True)
    loss_of(model, inputs, targets).backward()
    optimizer.step()


def generation(model, inputs, targets, *, cached=False):
    prompt = inputs[:1, :NEW]
    if isinstance(model, GPTModel):
        return generate_greedy(model, prompt, NEW, inputs.shape[1])
    options = {"do_sample": False, "use_cache": cached, "pad_token_id": 0, "eos_token_id": None}
    return model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW, **options)


def optimizer_of(model):
    kind = AdamW if isinstance(model, GPTModel) else torch.optim.AdamW
    return kind(model.parameters(), lr=1e-6, weight_decay=0.1)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_gpt_beside_that_of_transformers(size, benchmark, capsys, request):
    quick = request.config.getoption("--quick")
    if quick and size is not SIZES[0]:
        pytest.skip("one size is enough for a quick run")
    models = made(size)
    ids = (numbers(size.batch, size.tokens + 1).abs() * size.vocab_size).long()
    inputs, targets = ids[:, :-1], ids[:, 1:]
    proved(models, inputs, targets)
    passes = {
        "forward": (
            size.tokens * size.batch,
            {name: partial(forward, models[name], inputs, targets) for name in models},
        ),
        "training step": (
            size.tokens * size.batch,
            {
                name: partial(training_step, model, inputs, targets, optimizer=optimizer_of(model))
                for name, model in models.items()
            },
        ),
        "generation": (NEW, {name: partial(generation, model, inputs, targets) for name, model in models.items()}),
    }
    passes["generation"][1]["transformers, cached"] = partial(generation, models[SDPA], inputs, targets, cached=True)
    lines, speeds = [], {}

    def once():
        for what, (tokens, functions) in passes.items():
            for model in models.values():
                model.train(what == "training step")
            steps = {name: Step(function) for name, function in functions.items()}
            rounds = in_turn(steps, "cpu", budget=5.0 if quick else 12.0)
            seconds = {name: median(times) for name, times in rounds.items()}
            for name, step in steps.items():
                memory = peak_of(step, "cpu") if what != "generation" else 0
                speeds[what, name] = 1 / seconds[name]
                told = f"{seconds[name] * 1e3:9.1f} ms {tokens / seconds[name]:9.0f} tokens/s"
                told += f" {memory / 2**20:7.0f} MiB" if memory else " " * 12
                beside = [f"{seconds[other] / seconds[name]:5.2f} of {other}" for other in (EAGER, SDPA)]
                lines.append(f"{what:<14} {name:<22} {told}  speed {', '.join(beside)}")

    benchmark.pedantic(once, rounds=1)
    benchmark.extra_info.update({f"{what}, {name}": round(speed, 4) for (what, name), speed in speeds.items()})
    with capsys.disabled():
        print(
            f"\n{size.layers} layers of {size.width}, {size.batch} x {size.tokens} tokens, vocabulary {size.vocab_size}"
        )
        print(*lines, sep="\n")
    for mine, other in ((OURS, EAGER), (FUSED, SDPA)):
        speed = speeds["training step", mine] / speeds["training step", other]
        assert speed > 0.75, f"a training step: {mine} has {speed:.2f} of the speed of {other}; a quiet machine gives 1"
