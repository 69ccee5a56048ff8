"""The transformer block, clause by clause. The why: docs/gpt/block.md."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call
from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

from katas.attention.multihead import MultiHeadAttention
from katas.gpt.block import TransformerBlock
from katas.gpt.config import GPTConfig
from katas.gpt.feedforward import FeedForward
from tests.support import clause, close, dealt, numbers, refuses, same

PROJECTIONS = ("W_query", "W_key", "W_value")
PARTS = {"att": "MultiHeadAttention", "ff": "FeedForward", "norm1": "LayerNorm", "norm2": "LayerNorm"}
PARTS |= {"drop_shortcut": "Dropout"}


def sizes(**changes):
    """A configuration in which no two sizes are equal."""
    usual = {"vocab_size": 11, "context_length": 7, "emb_dim": 6, "n_heads": 3, "n_layers": 2}
    return GPTConfig(**{**usual, "drop_rate": 0.0, "qkv_bias": False, **changes})


def shapes(emb_dim, qkv_bias=False):
    """The shape of every parameter by its name, in the order of the parts."""
    square, wide = (emb_dim, emb_dim), (4 * emb_dim, emb_dim)
    projections = {}
    for name in PROJECTIONS:
        projections |= {f"att.{name}.weight": square} | ({f"att.{name}.bias": (emb_dim,)} if qkv_bias else {})
    out = {"att.out_proj.weight": square, "att.out_proj.bias": (emb_dim,)}
    ff = {"ff.layers.0.weight": wide, "ff.layers.0.bias": (4 * emb_dim,)}
    ff |= {"ff.layers.2.weight": (emb_dim, 4 * emb_dim), "ff.layers.2.bias": (emb_dim,)}
    norms = {f"norm{number}.{name}": (emb_dim,) for number in (1, 2) for name in ("scale", "shift")}
    return projections | out | ff | norms


@st.composite
def cases(draw):
    """A block, its n_heads and an input: Hypothesis draws the sizes and the seed; the seed deals the numbers."""
    batch, tokens = draw(st.integers(1, 3), label="batch"), draw(st.integers(1, 6), label="tokens")
    n_heads, head_dim = draw(st.sampled_from([(1, 4), (2, 3), (3, 2), (5, 1)]), label="n_heads, head_dim")
    config = sizes(emb_dim=n_heads * head_dim, n_heads=n_heads, qkv_bias=draw(st.booleans(), label="qkv_bias"))
    x = numbers(batch, tokens, n_heads * head_dim, seed=draw(st.integers(0, 99), label="seed"))
    return dealt(TransformerBlock(config)), n_heads, x


class Named(dict):
    """Parameters by name; one that is not there fails the test that needs it."""

    def __missing__(self, name):
        near = name
        while near and not any(known.startswith(f"{near}.") for known in self):
            near = near.rpartition(".")[0]
        there = [known for known in self if known.startswith(near)]
        raise AssertionError(f"there is no parameter {name}; there are {there[:6]}{' ...' if there[6:] else ''}")


def parameters(block):
    return Named(block.named_parameters())


def giving(block, att=None, ff=None):
    """The block, whose att or ff gives these numbers at every token, whatever it reads; 0.0 is silence."""
    known = parameters(block)
    with torch.no_grad():
        for layer, wanted in (("att.out_proj", att), ("ff.layers.2", ff)):
            if wanted is not None:
                known[f"{layer}.weight"].zero_()
                known[f"{layer}.bias"].copy_(torch.as_tensor(wanted))
    return block


def normed(block, norm, x):
    """PyTorch's layer norm with the parameters of one of the two."""
    known = parameters(block)
    return layer_norm(x, x.shape[-1:], known[f"{norm}.scale"], known[f"{norm}.shift"], 1e-5)


def attended(block, n_heads, x):
    """What PyTorch's attention function makes of the block's weights."""
    known = parameters(block)
    projected = [linear(x, known[f"att.{name}.weight"], known.get(f"att.{name}.bias")) for name in PROJECTIONS]
    heads = [each.unflatten(-1, (n_heads, -1)).transpose(1, 2) for each in projected]
    joined = scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2)
    return linear(joined, known["att.out_proj.weight"], known["att.out_proj.bias"])


def fed(block, x):
    """What two linear maps of PyTorch and its GELU make of the block's weights."""
    known = parameters(block)
    hidden = gelu(linear(x, known["ff.layers.0.weight"], known["ff.layers.0.bias"]), approximate="tanh")
    return linear(hidden, known["ff.layers.2.weight"], known["ff.layers.2.bias"])


def of_torch(block, n_heads, x):
    """The whole block in PyTorch's own functions."""
    middle = x + attended(block, n_heads, normed(block, "norm1", x))
    return middle + fed(block, normed(block, "norm2", middle))


def of_torchs_class(block, n_heads, x):
    """What nn.TransformerEncoderLayer makes of the same parameters, which have other names there."""
    known, (_, tokens, width) = parameters(block), x.shape
    weights = {
        "self_attn.in_proj_weight": torch.cat([known[f"att.{name}.weight"] for name in PROJECTIONS]),
        "self_attn.in_proj_bias": torch.cat(
            [known.get(f"att.{name}.bias", x.new_zeros(width)) for name in PROJECTIONS]
        ),
    }
    theirs = {"self_attn.out_proj": "att.out_proj", "linear1": "ff.layers.0", "linear2": "ff.layers.2"}
    for name, ours in theirs.items():
        weights |= {f"{name}.{kind}": known[f"{ours}.{kind}"] for kind in ("weight", "bias")}
    for name in ("norm1", "norm2"):
        weights |= {f"{name}.weight": known[f"{name}.scale"], f"{name}.bias": known[f"{name}.shift"]}
    layer = torch.nn.TransformerEncoderLayer(
        width, n_heads, 4 * width, dropout=0.0, activation=lambda hidden: gelu(hidden, approximate="tanh"),
        batch_first=True, norm_first=True,
    )  # fmt: skip
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    return functional_call(layer, weights, (x,), {"src_mask": future})


class Summing(torch.nn.Module):
    """An attention of another kind: ten times the sum of the past. It has no parameters and no limit of tokens."""

    def forward(self, x):
        return 10 * x.cumsum(dim=1)


def noting(calls):
    """A factory of Summing that notes what it was called with."""

    def attention(*args, **kwargs):
        calls.append((args, kwargs))
        return Summing()

    return attention


def thinned(kata_class, drop_rate=0.25):
    """A function of no arguments that calls a block on zeros, whose att gives ones and whose ff gives tens."""
    block = giving(dealt(kata_class(sizes(emb_dim=9, drop_rate=drop_rate))), att=1.0, ff=10.0)
    return lambda: block(torch.zeros(16, 7, 9))


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""
    x = numbers(2, 5, 6)

    def made(**changes):
        return dealt(kata.TransformerBlock(sizes(**changes)))

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def fresh(**changes):
        torch.manual_seed(5)
        block = kata.TransformerBlock(sizes(**changes))
        parts = [(name, type(part).__name__, getattr(part, "p", None)) for name, part in block.named_modules()]
        return parts, [(name, value.flatten()[:3]) for name, value in block.state_dict().items()]

    def asked(**changes):
        calls = []
        kata.TransformerBlock(sizes(**changes), noting(calls))
        return [(len(args), {name: str(value) for name, value in kwargs.items()}) for args, kwargs in calls]

    def replaced():
        block = dealt(kata.TransformerBlock(sizes(), lambda **_: Summing()))
        return [tried(lambda tokens=tokens: block(numbers(2, tokens, 6))) for tokens in (5, 9)]

    def gradients(**changes):
        block, leaf = made(**changes), x.clone().requires_grad_()
        block(leaf).square().sum().backward()
        return [leaf.grad, *(parameter.grad for parameter in block.parameters())]

    def without_gradients():
        with torch.no_grad():
            return made()(x)

    def changed():
        given = x.clone()
        made()(given)
        return given

    def copied():
        block = made()
        block(x)
        return copy.deepcopy(block)(x)

    def precision():
        seen, exact = made().double()(x.double()), of_torch(made().double(), 3, x.double())
        return str(seen.dtype), [torch.allclose(seen.double(), exact, rtol=bar, atol=bar) for bar in (1e-4, 1e-9)]

    def lengths():
        for tokens in (1, 7, 8, 9):
            yield tried(lambda tokens=tokens: made()(numbers(2, tokens, 6)), tokens, 7)
            yield tried(lambda tokens=tokens: made().eval()(numbers(2, tokens, 6)), tokens, 7)

    def draws():
        call = thinned(kata.TransformerBlock)
        first, second = call(), call()
        levels = [round(value, 3) for value in first.unique().tolist()]
        counts = [(first == level).float().mean().round(decimals=1).item() for level in first.unique()]
        return levels, counts, first[0], second[1]

    return {
        "numbers": lambda: made(qkv_bias=True)(x),
        "example": lambda: giving(made(), att=1.0, ff=10.0)(100 * x),
        "attends": lambda: giving(made(), ff=0.0)(x),
        "feeds": lambda: giving(made(), att=0.0)(x),
        "loud": lambda: made()(100 * x + 3),
        "gradients": lambda: [gradients(), gradients(drop_rate=0.25)],
        "without gradients": without_gradients,
        "changed": changed,
        "copied": copied,
        "fresh": lambda: fresh(qkv_bias=True, drop_rate=0.25),
        "asked": lambda: [asked(), asked(qkv_bias=True, drop_rate=0.25, context_length=9)],
        "replaced": replaced,
        "draws": draws,
        "fresh draws": lambda: [fresh(), draws()],
        "silent": lambda: giving(made(drop_rate=0.5), att=0.0, ff=0.0)(x),
        "training": lambda: made(drop_rate=0.25)(x),
        "eval": lambda: made(drop_rate=0.25).eval()(x),
        "float64": precision,
        "bfloat16": lambda: str(made().bfloat16()(x.bfloat16()).dtype),
        "lengths": lambda: list(lengths()),
    }


@clause("parts")
@pytest.mark.parametrize("bias", [False, True])
def test_five_parts_are_made_in_the_books_order(bias):
    block = TransformerBlock(sizes(qkv_bias=bias, drop_rate=0.25))
    seen = {name: type(part).__name__ for name, part in block.named_children()}
    same(list(seen.items()), list(PARTS.items()), "the parts of a block, in the order in which they are made")
    rate = block.drop_shortcut.p
    assert rate == 0.25, f"drop_rate=0.25, and drop_shortcut drops {rate:g}"
    seen = [(name, tuple(value.shape)) for name, value in block.state_dict().items()]
    same(seen, list(shapes(6, bias).items()), f"what is saved of a block with emb_dim=6 and qkv_bias={bias}, in order")


@clause("parts")
def test_after_a_seed_the_numbers_are_those_of_the_parts_made_in_turn():
    torch.manual_seed(123)
    att, ff = MultiHeadAttention(6, 6, 7, 0.0, 3), FeedForward(6)
    torch.manual_seed(123)
    known = parameters(TransformerBlock(sizes()))
    for part, twin in (("att", att), ("ff", ff)):
        for name, expected in twin.named_parameters():
            because = f"after the same seed, {part}.{name} is not that of an attention and a FeedForward made in turn"
            close(known[f"{part}.{name}"], expected, because)


@clause("attention")
@pytest.mark.parametrize("bias", [False, True])
def test_attention_is_asked_once_by_keywords(bias):
    calls = []
    TransformerBlock(sizes(qkv_bias=bias, drop_rate=0.25), noting(calls))
    assert len(calls) == 1, f"attention was called {len(calls)} times, expected once"
    args, kwargs = calls[0]
    assert args == (), f"attention was given {args} without keywords: another attention may have another order"
    expected = {"d_in": 6, "d_out": 6, "context_length": 7, "dropout": 0.25, "num_heads": 3, "qkv_bias": bias}
    same(kwargs, expected, "what attention was asked for, with emb_dim=6, context_length=7, n_heads=3, drop_rate=0.25")


@clause("attention")
def test_any_module_can_stand_in_attentions_place():
    block, x = dealt(TransformerBlock(sizes(), noting([]))), numbers(2, 5, 6)
    kind = type(block.att).__name__
    assert kind == "Summing", f"attention gave a module of class Summing, and att is a {kind}"
    middle = x + 10 * normed(block, "norm1", x).cumsum(dim=1)
    expected = middle + fed(block, normed(block, "norm2", middle))
    close(block(x), expected, "attention gave a module that sums up the past, ten times, and its results do not show")


@clause("example")
def test_one_hundred_and_one_and_ten_are_one_hundred_and_eleven():
    block = giving(dealt(TransformerBlock(sizes(emb_dim=2, n_heads=1))), att=[1.0, 2.0], ff=[10.0, 20.0])
    seen = block(torch.tensor([[[100.0, 200.0]]]))
    because = f"att gives (1, 2) and ff gives (10, 20): the token (100, 200) became {seen.flatten().tolist()}"
    close(seen, torch.tensor([[[111.0, 222.0]]]), because)


@clause("attends")
@given(cases())
def test_the_first_half_adds_what_attention_makes_of_the_normed_input(case):
    block, n_heads, x = case
    giving(block, ff=0.0)
    because = "ff gives zeros, and the output is not x + att(norm1(x)), computed with PyTorch's own functions"
    close(block(x), x + attended(block, n_heads, normed(block, "norm1", x)), because)


@clause("feeds")
@given(cases())
def test_the_second_half_adds_what_the_feedforward_part_makes_of_the_normed_input(case):
    block, _, x = case
    giving(block, att=0.0)
    because = "att gives zeros, and the output is not x + ff(norm2(x)), computed with PyTorch's own functions"
    close(block(x), x + fed(block, normed(block, "norm2", x)), because)


@clause("in-turn")
@given(cases(), st.integers(-3, 3))
def test_the_second_half_reads_and_keeps_what_the_first_one_made(case, step):
    block, _, x = case
    added = torch.arange(x.shape[-1]) + float(step)  # not the same in every feature, which a norm would take away
    giving(block, att=added)
    middle = x + added
    because = "att gives the same at every token, so what the second half should start from is known; it did not"
    close(block(x), middle + fed(block, normed(block, "norm2", middle)), because)


@clause("pre-norm")
@given(cases(), st.integers(-8, 8))
def test_what_is_added_to_all_features_comes_out_added_to_all_features(case, step):
    block, _, x = case
    steps = torch.arange(x.shape[1])[:, None] + float(step)  # (tokens, 1): another number for each token
    because = "a number was added to all features of a token; past the norms it should be in the output, and only there"
    close(block(x + steps), block(x) + steps, because, atol=1e-3)


@clause("pre-norm")
def test_large_inputs_stay_large():
    block, x = giving(dealt(TransformerBlock(sizes())), att=1.0, ff=1.0), 1000 * numbers(2, 5, 6)
    because = (
        "att and ff give ones, so the input, of up to 1000, should come out plus 2; a norm on its way would shrink it"
    )
    close(block(x), x + 2, because)


@clause("past")
@given(cases(), st.data())
def test_rewriting_the_future_and_other_sequences_changes_nothing(case, data):
    block, _, x = case
    row = data.draw(st.integers(0, len(x) - 1), label="row")
    now = data.draw(st.integers(0, x.shape[1] - 1), label="now")
    rewritten = numbers(*x.shape, seed="rewritten") * 5
    rewritten[row, : now + 1] = x[row, : now + 1]
    before, after = block(x), block(rewritten)
    because = f"all was rewritten but positions 0 to {now} of row {row}, and their outputs moved"
    close(after[row, : now + 1], before[row, : now + 1], because)
    unmoved = torch.isclose(after, before).all(dim=-1)
    unmoved[row, : now + 1] = False
    assert not unmoved.any(), "what was rewritten came out as it was before"


@clause("agrees")
@given(cases())
def test_agrees_with_torchs_functions(case):
    block, n_heads, x = case
    close(
        block(x), of_torch(block, n_heads, x), "PyTorch's own functions, with the same parameters, give other numbers"
    )


@clause("agrees")
@given(cases())
def test_agrees_with_torchs_class(case):
    block, n_heads, x = case
    because = "nn.TransformerEncoderLayer, norms first, with the same parameters, gives other numbers"
    close(block(x), of_torchs_class(block, n_heads, x), because)


@clause("gradients")
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_torchs_functions(bias):
    block, x = dealt(TransformerBlock(sizes(qkv_bias=bias)).double()), numbers(2, 5, 6).double().requires_grad_()
    leaves = {"the input": x} | parameters(block)
    seen, expected = block(x), of_torch(block, 3, x)
    assert seen.requires_grad, "no gradient flows back from the output: it was detached, or computed without gradients"
    towards = numbers(*seen.shape, seed="towards", dtype=torch.float64)
    theirs = torch.autograd.grad(expected, list(leaves.values()), towards, allow_unused=True)
    mine = torch.autograd.grad(seen, list(leaves.values()), towards, allow_unused=True)
    for name, gradient, right in zip(leaves, mine, theirs, strict=True):
        if right is None:
            continue  # a parameter that the formula does not know
        assert gradient is not None, f"no gradient reaches {name}: something on the way was detached"
        close(gradient, right, f"the gradient of {name} is not the one that PyTorch's own functions give", rtol=1e-7)


@clause("gradients")
def test_dropout_lets_gradients_through():
    torch.manual_seed(0)
    block, x = dealt(TransformerBlock(sizes(drop_rate=0.25))), numbers(3, 7, 6).requires_grad_()
    block(x).square().sum().backward()
    for name, leaf in {"the input": x, **parameters(block)}.items():
        reached = leaf.grad is not None and leaf.grad.any()
        assert reached, f"with drop_rate 0.25, while training, no gradient reaches {name}"


@clause("gradients")
def test_without_gradients_the_output_is_the_same():
    block, x = dealt(TransformerBlock(sizes())), numbers(2, 5, 6)
    expected = of_torch(block, 3, x)
    with torch.no_grad():
        try:
            seen = block(x)
        except RuntimeError as error:
            pytest.fail(f"under torch.no_grad, where there is nothing to go back through, the call ended: {error}")
    close(seen, expected, "under torch.no_grad the output is another one")


@clause("dropout")
def test_both_branches_are_thinned_and_scaled_up():
    """Of 1 008 draws, a share of 0.085 above or below the mean is 6 standard deviations."""
    torch.manual_seed(0)
    seen = thinned(TransformerBlock)() * 0.75
    levels = sorted({round(value, 4) for value in seen.flatten().tolist()})
    because = (
        "the input is 0, att gives ones and ff gives tens, drop_rate is 0.25: the outputs, times 0.75, should be "
        f"0, 1, 10 and 11; they are {levels[:8]}"
    )
    assert levels == [0, 1, 10, 11], because
    for part, dropped in (("att", seen.round() % 10 == 0), ("ff", seen < 5)):
        share = dropped.float().mean().item()
        assert abs(share - 0.25) < 0.085, (
            f"drop_rate is 0.25, and a share of {share:.2f} of what {part} gives was dropped"
        )


@clause("dropout")
def test_every_number_is_dropped_on_its_own():
    torch.manual_seed(0)
    call = thinned(TransformerBlock)
    first, second = call().round(), call().round()
    att, again, ff = first % 10 == 0, second % 10 == 0, first < 5
    for what, one, other in (
        ("two calls", att, again),
        ("att and ff", att, ff),
        ("two sequences of a batch", att[0], att[1]),
        ("two tokens", att[:, 0], att[:, 1]),
        ("two features", att[..., 0], att[..., 1]),
    ):
        assert not torch.equal(one, other), f"{what} were thinned alike: there is one draw for what should be many"


@clause("shortcut")
def test_a_silent_block_gives_its_input_back_while_training():
    block, x = giving(dealt(TransformerBlock(sizes(drop_rate=0.5))), att=0.0, ff=0.0).train(), numbers(3, 7, 6)
    close(block(x), x, "att and ff give zeros, so all that is left is the shortcut, and it lost or changed something")


@clause("eval")
def test_eval_drops_nothing():
    block, x = dealt(TransformerBlock(sizes(drop_rate=0.5))), numbers(2, 5, 6)
    expected = of_torch(block, 3, x)
    close(block.eval()(x), expected, "in eval(), drop_rate 0.5 gives other numbers than no dropout")
    assert not torch.isclose(block.train()(x), expected).all(), "back in train(), drop_rate 0.5 drops nothing"


@clause("pure")
def test_a_call_leaves_the_input_alone():
    block, x = dealt(TransformerBlock(sizes())), numbers(2, 5, 6)
    before = x.clone()
    seen = block(x)
    assert torch.equal(x, before), "the input has other numbers after the call: it was written to in place, as by +="
    close(seen, of_torch(block, 3, before), "the input was left alone, but the output is not the one it should give")


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    block, long, short = dealt(TransformerBlock(sizes())), numbers(2, 7, 6), numbers(1, 2, 6)
    first = block(long)
    block(short)
    close(block(long), first, "7 tokens, then 2, then the same 7 gave other numbers: an earlier call left a trace")
    try:
        twin = copy.deepcopy(block)
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call, with its gradients")
    close(twin(long), first, "a copy of the module gives other numbers than the module")


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    block, x = dealt(TransformerBlock(sizes()).to(dtype)), numbers(2, 5, 6, dtype=dtype)
    expected = of_torch(copy.deepcopy(block).double(), 3, x.double()).to(dtype)
    loose = {"rtol": 0.1, "atol": 0.1} if dtype == torch.bfloat16 else {}
    close(
        block(x), expected, f"{dtype} went in, and in that dtype and its precision PyTorch gives other numbers", **loose
    )


@clause("length")
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_too_many_tokens_are_refused_by_the_attention(mode):
    block = TransformerBlock(sizes(context_length=13)).train(mode == "train")
    with refuses(ValueError, 14, 13):
        block(numbers(1, 14, 6))


@clause("length")
@pytest.mark.parametrize("tokens", [1, 12, 13])
def test_any_length_that_fits_is_fine(tokens):
    block, x = dealt(TransformerBlock(sizes(context_length=13))), numbers(2, tokens, 6)
    close(block(x), of_torch(block, 3, x), f"context_length is 13, so {tokens} tokens fit, as in PyTorch")


@clause("length")
def test_the_block_has_no_limit_of_its_own():
    block, x = giving(dealt(TransformerBlock(sizes(), noting([]))), ff=0.0), numbers(2, 40, 6)
    expected = x + 10 * normed(block, "norm1", x).cumsum(dim=1)
    close(block(x), expected, "context_length is 7, but this attention takes 40 tokens, and so should the block")
