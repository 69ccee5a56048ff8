"""The transformer block, clause by clause. The why: docs/gpt/block.md.

What a block should give is computed with its own att, ff, norm1 and norm2: how well these do their work is for their
own katas to say.
"""

import copy

import pytest
import torch

from katas.attention.multihead import MultiHeadAttention
from katas.gpt.block import TransformerBlock
from katas.gpt.config import GPTConfig
from katas.gpt.feedforward import FeedForward
from tests import laws, probes
from tests.support import clause, close, dealt, numbers, same


def sizes(**changes):
    """A configuration in which no two sizes are equal."""
    usual = {"vocab_size": 11, "context_length": 7, "emb_dim": 6, "n_heads": 3, "n_layers": 2}
    return GPTConfig(**{**usual, "drop_rate": 0.0, "qkv_bias": False, **changes})


class Gives(torch.nn.Module):
    """A part that gives the same features at every token, whatever it reads."""

    def __init__(self, *features):
        super().__init__()
        self.features = torch.tensor(features)

    def forward(self, x):
        return self.features.expand_as(x)


class Summing(torch.nn.Module):
    """An attention of another kind: ten times the sum of the tokens so far. It has no limit of tokens."""

    def forward(self, x):
        return 10 * x.cumsum(dim=1)


def noting(calls):
    """A factory of Summing that notes what it is called with."""

    def attention(*args, **kwargs):
        calls.append((args, kwargs))
        return Summing()

    return attention


def giving(block, att, ff):
    """The block with parts in the place of att and ff that give these features."""
    block.att, block.ff = Gives(*att), Gives(*ff)
    return block


def by_formula(block, x):
    middle = x + block.att(block.norm1(x))
    return middle + block.ff(block.norm2(middle))


def dropping(kata_class, att, ff, drop_rate=0.5):
    """A function without arguments that calls a block in training mode, on zeros."""
    block = giving(kata_class(sizes(emb_dim=12, drop_rate=drop_rate)), [att], [ff]).train()
    return lambda: block(torch.zeros(8, 7, 12))


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""

    def x():
        """Anew for each part: some write into it."""
        return numbers(2, 5, 6)

    def made(*attention, **changes):
        return dealt(kata.TransformerBlock(sizes(**changes), *attention))

    def asked(key, **changes):
        calls = []
        kata.TransformerBlock(sizes(**changes), noting(calls))
        return str(calls[-1][1].get(key)) if calls else "not called"

    def gradient(name):
        block, leaf = made(), x().requires_grad_()
        block(leaf).mul(numbers(2, 5, 6, seed="towards")).sum().backward()
        return leaf.grad if name == "x" else block.get_parameter(name).grad

    def fresh(name):
        torch.manual_seed(5)
        return kata.TransformerBlock(sizes()).get_parameter(name).detach()

    def echoing():
        block = giving_ff(dealt(kata.TransformerBlock(sizes(drop_rate=0.5))), 0.0)
        block.att = torch.nn.Identity()
        return block.train()(x())

    def twice():
        call = dropping(kata.TransformerBlock, 1.0, 0.0)
        return torch.equal(call(), call())

    return {
        "parameters": lambda: sorted(name for name, _ in made(qkv_bias=True).named_parameters()),
        "example": lambda: giving(made(), [1.0], [10.0])(100 * x()),
        "numbers": lambda: made()(x()),
        "the attention's half": lambda: giving_ff(made(), 0.0)(x()),
        "the feedforward half": lambda: giving_att(made(), 0.0)(x()),
        "the feedforward half after something was added": lambda: giving_att(made(), 0.0, 1, 2, 3, 4, 5)(x()),
        "large": lambda: giving(made(), [1.0], [1.0])(1000 * x()),
        "gradient of x": lambda: gradient("x"),
        "gradient of att": lambda: gradient("att.out_proj.weight"),
        "gradient of ff": lambda: gradient("ff.layers.2.weight"),
        "dropped from att": lambda: dropping(kata.TransformerBlock, 1.0, 0.0, 0.25)(),
        "dropped from ff": lambda: dropping(kata.TransformerBlock, 0.0, 1.0, 0.25)(),
        "dropped from both": dropping(kata.TransformerBlock, 1.0, 10.0),
        "dropped from an att that gives what it reads": echoing,
        "two calls are equal": twice,
        "dropped from the shortcut": lambda: giving(made(drop_rate=0.5), [0.0], [0.0])(x()),
        "eval": lambda: giving(made(drop_rate=0.5).eval(), [1.0], [10.0])(x()),
        "context_length asked for": lambda: asked("context_length"),
        "dropout asked for": lambda: asked("dropout", drop_rate=0.25),
        "heads asked for": lambda: asked("num_heads"),
        "bias asked for": lambda: asked("qkv_bias", qkv_bias=True),
        "another attention": lambda: probes.tried(lambda: made(noting([]))(x())),
        "another attention, more tokens": lambda: probes.tried(lambda: made(noting([]))(numbers(2, 9, 6))),
        "att after a seed": lambda: fresh("att.W_query.weight"),
        "ff after a seed": lambda: fresh("ff.layers.0.weight"),
        "float64": lambda: probes.coarse(made(), x()),
        "bfloat16": lambda: str(made().bfloat16()(x().bfloat16()).dtype),
        "unchanged": lambda: probes.unchanged(made(), x()),
        "kept": lambda: probes.kept(made, x()),
    }


def giving_att(block, *features):
    block.att = Gives(*features)
    return block


def giving_ff(block, *features):
    block.ff = Gives(*features)
    return block


@clause("parts")
def test_the_parameters_are_those_of_four_parts():
    expected = {f"att.{name}.weight": (6, 6) for name in ("W_query", "W_key", "W_value", "out_proj")}
    expected |= {"att.out_proj.bias": (6,), "ff.layers.0.weight": (24, 6), "ff.layers.0.bias": (24,)}
    expected |= {"ff.layers.2.weight": (6, 24), "ff.layers.2.bias": (6,)}
    expected |= {f"norm{number}.{name}": (6,) for number in (1, 2) for name in ("scale", "shift")}
    seen = {name: tuple(value.shape) for name, value in TransformerBlock(sizes()).named_parameters()}
    same(seen, expected, "the parameters of a block with emb_dim=6 and no qkv_bias, with their shapes")


@clause("heads")
@pytest.mark.parametrize("bias", [False, True])
def test_att_is_multi_head_attention_with_the_sizes_of_config(bias):
    block, x = dealt(TransformerBlock(sizes(qkv_bias=bias))), numbers(2, 5, 6)
    twin = dealt(MultiHeadAttention(6, 6, 7, 0.0, 3, bias))
    because = f"with qkv_bias={bias}, these should be the parameters of att"
    same(sorted(dict(block.att.named_parameters())), sorted(dict(twin.named_parameters())), because)
    twin.load_state_dict(block.att.state_dict())
    because = f"n_heads=3, qkv_bias={bias}; expected what MultiHeadAttention gives with 3 heads and the weights of att"
    close(block.att(x), twin(x), because)


@clause("example")
def test_one_hundred_and_one_and_ten_are_one_hundred_and_eleven():
    block = giving(TransformerBlock(sizes(emb_dim=2, n_heads=1)), [1.0, 2.0], [10.0, 20.0])
    seen = block(torch.tensor([[[100.0, 200.0]]]))
    because = f"att gives (1, 2) and ff gives (10, 20): the token (100, 200) became {seen.flatten().tolist()}"
    close(seen, torch.tensor([[[111.0, 222.0]]]), because)


@clause("formula")
@pytest.mark.parametrize(("batch", "tokens", "n_heads", "head_dim"), [(1, 1, 1, 4), (2, 5, 3, 2), (3, 6, 5, 1)])
def test_the_output_is_that_of_the_formula(batch, tokens, n_heads, head_dim):
    block = dealt(TransformerBlock(sizes(emb_dim=n_heads * head_dim, n_heads=n_heads)))
    x = numbers(batch, tokens, n_heads * head_dim)
    because = "expected h + ff(norm2(h)), where h is x + att(norm1(x)), computed with your own parts"
    close(block(x), by_formula(block, x), because)


@clause("gradients")
def test_the_gradients_are_those_of_the_formula():
    block, x = dealt(TransformerBlock(sizes())), numbers(2, 5, 6).requires_grad_()
    leaves = {"the input": x, **dict(block.named_parameters())}
    leaves.pop("att.W_key.bias", None)  # it has no effect
    laws.gradients_agree(block(x), by_formula(block, x), leaves, "the formula, with your own parts,")


@clause("dropout")
@pytest.mark.parametrize("part", ["att", "ff"])
def test_what_the_parts_give_is_dropped_and_scaled_up(part):
    """Of 672 draws, a share of 0.1 above or below the mean is 6 standard deviations."""
    torch.manual_seed(0)
    seen = dropping(TransformerBlock, float(part == "att"), float(part == "ff"), drop_rate=0.25)()
    levels = [round(level, 4) for level in seen.unique().tolist()]
    because = f"drop_rate is 0.25, {part} gives ones and the rest is zeros: every number should be 0 or 1 / 0.75"
    assert levels == [0, 1.3333], f"{because}; there are {levels[:6]}"
    share = (seen == 0).float().mean().item()
    assert abs(share - 0.25) < 0.1, f"drop_rate is 0.25, but of what {part} gives, {share:.0%} was dropped"


@clause("independent")
@pytest.mark.parametrize("part", ["att", "ff"])
@pytest.mark.parametrize(("axis", "what"), [(0, "texts"), (1, "tokens"), (2, "features")])
def test_every_number_is_dropped_on_its_own(axis, what, part):
    torch.manual_seed(0)
    dropped = dropping(TransformerBlock, float(part == "att"), float(part == "ff"))() == 0
    different, number = dropped.unique(dim=axis).shape[axis], dropped.shape[axis]
    because = f"drop_rate is 0.5; of {number} {what}, only {different} differ in which numbers of {part} are dropped"
    assert different == number, because


@clause("independent")
def test_each_half_and_each_call_draws_anew():
    torch.manual_seed(0)
    call = dropping(TransformerBlock, 1.0, 10.0)
    first, second = call() / 2, call() / 2  # sums of 0 or 1, from att, and 0 or 10, from ff
    assert not torch.equal(first, second), "two calls dropped the same numbers"
    assert not torch.equal(first % 10 == 0, first < 5), "the same numbers of att and of ff were dropped"


@clause("shortcut")
def test_a_block_whose_parts_give_zeros_gives_its_input_back():
    block, x = giving(TransformerBlock(sizes(drop_rate=0.5)), [0.0], [0.0]).train(), numbers(3, 7, 6)
    close(block(x), x, "in training mode, att and ff give zeros, so the output should be the input")


@clause("eval")
def test_eval_mode_drops_nothing():
    block = giving(TransformerBlock(sizes(drop_rate=0.5)), [1.0], [10.0])
    because = "drop_rate is 0.5, in eval mode; the input is 0, att gives 1 and ff gives 10"
    close(block.eval()(torch.zeros(3, 7, 6)), torch.full((3, 7, 6), 11.0), because)


@clause("attention")
@pytest.mark.parametrize("bias", [False, True])
def test_attention_is_called_once_with_keywords(bias):
    calls = []
    TransformerBlock(sizes(qkv_bias=bias, drop_rate=0.25), noting(calls))
    assert len(calls) == 1, f"the argument attention was called {len(calls)} times, expected once"
    args, kwargs = calls[0]
    assert args == (), f"attention was called with {args} by position; another attention may have another order"
    expected = {"d_in": 6, "d_out": 6, "context_length": 7, "dropout": 0.25, "num_heads": 3, "qkv_bias": bias}
    same(kwargs, expected, "the keywords of attention, with emb_dim=6, context_length=7, n_heads=3, drop_rate=0.25")


@clause("any-attention")
@pytest.mark.parametrize("tokens", [5, 40])
def test_any_module_can_stand_in_attentions_place(tokens):
    block, x = dealt(TransformerBlock(sizes(), noting([]))), numbers(2, tokens, 6)
    middle = x + 10 * block.norm1(x).cumsum(dim=1)
    because = f"attention gave a module that sums the tokens so far, ten times; {tokens} tokens, context_length=7"
    close(block(x), middle + block.ff(block.norm2(middle)), because)


@clause("seed")
def test_after_a_seed_the_numbers_are_those_of_the_parts_created_in_order():
    torch.manual_seed(123)
    twins = {"att": MultiHeadAttention(6, 6, 7, 0.0, 3), "ff": FeedForward(6)}
    torch.manual_seed(123)
    block = TransformerBlock(sizes())
    for part, twin in twins.items():
        for name, expected in twin.named_parameters():
            because = f"{part}.{name} after a seed, where MultiHeadAttention is created first and FeedForward second"
            close(block.get_parameter(f"{part}.{name}"), expected, because)


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    block, x = dealt(TransformerBlock(sizes()).to(dtype)), numbers(2, 5, 6, dtype=dtype)
    wide = copy.deepcopy(block).double()
    loose = {"rtol": 0.1, "atol": 0.1} if dtype == torch.bfloat16 else {}
    close(block(x), by_formula(wide, x.double()).to(dtype), f"the input is {dtype}", **loose)


@clause("pure")
def test_a_call_leaves_the_input_alone():
    laws.leaves_its_inputs_alone(dealt(TransformerBlock(sizes())), numbers(2, 5, 6))


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    block, long, short = dealt(TransformerBlock(sizes())), numbers(2, 7, 6), numbers(1, 2, 6)
    first = block(long)
    block(short)
    close(block(long), first, "7 tokens, then 2, then the same 7 gave other numbers: an earlier call left a trace")
    try:
        close(copy.deepcopy(block)(long), first, "after a call, a copy of the module gives other numbers")
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call and its graph")
