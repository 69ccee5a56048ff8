"""Multi-head attention, clause by clause. The why: docs/attention/multihead.md."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call
from torch.nn.functional import linear, scaled_dot_product_attention

from katas.attention.causal import CausalAttention
from katas.attention.multihead import MultiHeadAttention, MultiHeadAttentionWrapper
from tests.support import OneDevice, clause, close, dealt, numbers, refuses

PROJECTIONS = ("W_query", "W_key", "W_value")
LAYERS = (*PROJECTIONS, "out_proj")
DEVICES = {"meta": lambda: True, "cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}


@st.composite
def cases(draw, square=False):
    """A module, its num_heads and an input: Hypothesis draws the sizes and the seed; the seed deals the numbers."""
    batch, tokens, d_in, head_dim = (draw(st.integers(1, 4), label=axis) for axis in ("batch", "tokens", "in", "dim"))
    num_heads = draw(st.integers(1, 4), label="num_heads")
    d_out = num_heads * head_dim
    d_in = d_out if square else d_in
    context_length, qkv_bias = draw(st.integers(tokens, 6), label="context_length"), draw(st.booleans(), label="bias")
    attention = dealt(MultiHeadAttention(d_in, d_out, context_length, 0.0, num_heads, qkv_bias))
    return attention, num_heads, numbers(batch, tokens, d_in, seed=draw(st.integers(0, 99), label="seed"))


def parameters(attention):
    """The parameters by name; those that every test needs are among them."""
    found = dict(attention.named_parameters())
    for name in (*(f"{name}.weight" for name in LAYERS), "out_proj.bias"):
        assert name in found, f"there is no parameter {name}; there are {list(found)}"
    return found


def of_torch(attention, num_heads, x):
    """What PyTorch's own attention function makes of the same weights, for any d_in."""
    known = parameters(attention)
    projected = [linear(x, known[f"{name}.weight"], known.get(f"{name}.bias")) for name in PROJECTIONS]
    heads = [each.unflatten(-1, (num_heads, -1)).transpose(1, 2) for each in projected]
    joined = scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2)
    return linear(joined, known["out_proj.weight"], known["out_proj.bias"])


def of_torchs_class(attention, num_heads, x):
    """What nn.MultiheadAttention makes of the same weights, which stand there in one table; d_in is d_out."""
    known, (_, tokens, width) = parameters(attention), x.shape
    weights = {
        "in_proj_weight": torch.cat([known[f"{name}.weight"] for name in PROJECTIONS]),
        "in_proj_bias": torch.cat([known.get(f"{name}.bias", x.new_zeros(width)) for name in PROJECTIONS]),
        "out_proj.weight": known["out_proj.weight"],
        "out_proj.bias": known["out_proj.bias"],
    }
    theirs = torch.nn.MultiheadAttention(width, num_heads, batch_first=True)
    asked = {"attn_mask": torch.ones(tokens, tokens, dtype=torch.bool).triu(1), "need_weights": False}
    return functional_call(theirs, weights, (x, x, x), asked)[0]


def unmixed(attention):
    """The module with out_proj the identity: the output is that of the heads, joined."""
    known = parameters(attention)
    with torch.no_grad():
        known["out_proj.weight"].copy_(torch.eye(len(known["out_proj.weight"])))
        known["out_proj.bias"].zero_()
    return attention


def with_weights(attention, query, key, value):
    """The module with its three weights set, each (d_out, d_in) or what spreads to that, and out_proj the identity."""
    weights = {"W_query.weight": query, "W_key.weight": key, "W_value.weight": value}
    with torch.no_grad():
        for name, parameter in parameters(attention).items():
            parameter.copy_(torch.as_tensor(weights.get(name, 0.0)))
    return unmixed(attention)


def with_rows(head, known, rows):
    """The CausalAttention with these rows of the projections of a MultiHeadAttention, known by name."""
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            parameter.copy_(known[name][rows])
    return head


def scaling(kata_class):
    """A module of two heads, four wide, and two tokens whose scores before the scale are 2 ln 3 and 0.

    Divided by sqrt(4) they are ln 3 and 0, so the weights of the second token are 3/4 and 1/4, and its values 4 and 8
    become 5.
    """
    key = torch.zeros(8, 3)
    key[::4, 1] = 2 * math.log(3)  # one feature of each head sees the first token
    attention = with_weights(kata_class(3, 8, 4, 0.0, 2), [[0.0, 0.0, 1.0]], key, [[1.0, 0.0, 0.0]])
    return attention, torch.tensor([[[4.0, 1.0, 1.0], [8.0, 0.0, 1.0]]])


def glaring(kata_class):
    """Two heads of one feature and three tokens (sign, value) whose scores are 40 000 and -40 000.

    A token scores -40 000 with its like, itself included, and 40 000 with its opposite. The first is alone with its
    value 2. The second sees two of a kind, 2 and 4. The third looks away from itself, at both of its opposites. So the
    first head gives 2, 3, 3, and the second, whose values are ten times as large, 20, 30, 30.
    """
    attention = with_weights(kata_class(2, 2, 3, 0.0, 2), [[200.0, 0.0]], [[-200.0, 0.0]], [[0.0, 1.0], [0.0, 10.0]])
    return attention, torch.tensor([[[1.0, 2.0], [1.0, 4.0], [-1.0, 60.0]]])


def bare_weights(kata_class, dropout, tokens):
    """A function of no arguments that calls a module of two heads, and gives the attention weights that it used.

    They are (batch, tokens, heads, tokens + 1): the last feature is the sum of the others. Every token is one-hot and
    nothing is preferred, so that token t gives 1 / (t + 1) to itself and to each before it.
    """
    values = torch.cat([torch.eye(tokens), torch.ones(1, tokens)]).repeat(2, 1)
    attention = with_weights(kata_class(tokens, 2 * (tokens + 1), tokens, dropout, 2), 0.0, 0.0, values)
    return lambda: attention(torch.eye(tokens).expand(8, -1, -1)).unflatten(-1, (2, -1))


def calls_within(module):
    """A list that takes the name of each part of the module when the part has done its work."""
    called = []
    for name, part in list(module.named_modules())[1:]:
        part.register_forward_hook(lambda *_, name=name: called.append(name))
    return called


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""
    x = numbers(2, 6, 5)

    def made(dropout=0.0, bias=False):
        return dealt(kata.MultiHeadAttention(5, 12, 7, dropout, 3, bias))

    def side_by_side(dropout=0.0, bias=False):
        return dealt(kata.MultiHeadAttentionWrapper(5, 4, 7, dropout, 3, bias))

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def fresh(kata_class, *bias):
        torch.manual_seed(5)
        seen = kata_class(5, 12, 7, 0.0, 3, *bias)
        kept = {id(value) for value in seen.parameters()}
        saved = [(name, tuple(value.shape)) for name, value in seen.state_dict().items()]
        return [parameter.flatten()[:3] for parameter in seen.parameters()], saved, len(kept)

    def gradients(module):
        leaf = x.clone().requires_grad_()
        module(leaf).square().sum().backward()
        return [leaf.grad, *(parameter.grad for parameter in module.parameters())]

    def thinned(call):
        return call(), call()

    def loud():
        attention, tokens = glaring(kata.MultiHeadAttention)
        return attention(tokens), made()(torch.cat([200 * x[:1], x[1:]]))[1], gradients(made())

    def precision():
        seen, exact = made().double()(x.double()), of_torch(made().double(), 3, x.double())
        return str(seen.dtype), [torch.allclose(seen.double(), exact, rtol=bar, atol=bar) for bar in (1e-4, 1e-9)]

    def changed():
        given = x.clone()
        made()(given)
        return given

    def copied():
        attention = made()
        attention(x)
        return copy.deepcopy(attention)(x)

    def without_gradients():
        with torch.no_grad():
            return made()(x)

    def lengths(module, *lengths):
        return [module(numbers(2, tokens, 5)) for tokens in lengths]

    def refused(module, tokens, training):
        called = calls_within(module.train(training))
        return tried(lambda: tuple(module(numbers(2, tokens, 5)).shape), tokens, 7), "W_query" in called

    def shared():
        for num_heads in (0, -1, -3, 5, 6, 12, 24):
            yield tried(lambda n=num_heads: len(list(kata.MultiHeadAttention(5, 12, 7, 0.0, n).parameters())))
        yield tried(lambda: len(list(kata.MultiHeadAttention(5, 29, 7, 0.0, 17).parameters())), 29, 17)

    def moved():
        attention = made().to("meta")
        left_behind = [tuple(value.shape) for value in vars(attention).values() if isinstance(value, torch.Tensor)]
        with OneDevice():
            return made()(x), left_behind, tried(lambda: attention(x.to("meta")).device.type)

    return {
        "numbers": lambda: made(bias=True)(x),
        "joined": lambda: unmixed(made())(x),
        "side by side": lambda: side_by_side(bias=True)(x),
        "loud": loud,
        "view": lambda: made()(numbers(2, 5, 6).mT),
        "gradients": lambda: [gradients(made()), gradients(made(0.25))],
        "without gradients": without_gradients,
        "changed": changed,
        "copied": copied,
        "lengths": lambda: lengths(made(), 7, 2, 7),
        "thinned": lambda: thinned(bare_weights(kata.MultiHeadAttention, 0.25, 7)),
        "thinned side by side": lambda: side_by_side(0.25)(x),
        "eval": lambda: made(0.25).eval()(x),
        "float64": precision,
        "bfloat16": lambda: str(made().bfloat16()(x.bfloat16()).dtype),
        "float16": lambda: str(made().half()(x.half()).dtype),
        "fresh": lambda: [fresh(kata.MultiHeadAttention, *bias) for bias in ((), (True,))],
        "fresh side by side": lambda: [fresh(kata.MultiHeadAttentionWrapper, *bias) for bias in ((), (True,))],
        "heads": lambda: type(side_by_side().heads).__name__,
        "shared": lambda: list(shared()),
        "refused": lambda: [refused(made(), 7, True), refused(made(), 9, True), refused(made(), 9, False)],
        "refused side by side": lambda: refused(side_by_side(), 9, True)[0],
        "moved": moved,
    }


def heads_of(wrapper):
    """The heads, which every test of the wrapper needs."""
    heads = getattr(wrapper, "heads", None)
    kind = type(heads).__name__
    because = "A plain list hides its modules from parameters(), .to() and the state dict" if kind == "list" else ""
    assert isinstance(heads, torch.nn.ModuleList), f"heads is a {kind}, expected an nn.ModuleList. {because}".strip()
    return list(heads)


@clause("heads")
@pytest.mark.parametrize("bias", [False, True])
def test_every_head_is_a_causal_attention_with_weights_of_its_own(bias):
    wrapper = MultiHeadAttentionWrapper(3, 2, 6, 0.0, 4, bias)
    kinds = [type(head).__name__ for head in heads_of(wrapper)]
    assert kinds == ["CausalAttention"] * 4, f"num_heads=4: the heads are {kinds}, expected 4 of CausalAttention"
    seen = {name: tuple(value.shape) for name, value in wrapper.named_parameters()}
    one = {f"{name}.weight": (2, 3) for name in PROJECTIONS} | {f"{name}.bias": (2,) for name in PROJECTIONS if bias}
    expected = {f"heads.{head}.{name}": shape for head in range(4) for name, shape in one.items()}
    because = (
        "one module in several places of the list counts once"
        if len(seen) < len(expected)
        else "expected 4 times weights of (2, 3)"
    )
    assert seen == expected, f"num_heads=4, d_out=2, qkv_bias={bias}: the parameters are {seen}: {because}"
    extra = [name for name in wrapper.state_dict() if name not in expected]
    assert not extra, f"the state dict also holds {extra}: what can be derived need not be saved"


@clause("heads")
def test_there_is_no_bias_in_a_head_unless_it_is_asked_for():
    biases = [name for name, _ in MultiHeadAttentionWrapper(3, 2, 6, 0.0, 4).named_parameters() if "bias" in name]
    assert not biases, f"qkv_bias was not given and is False by default, yet there are {biases}"


@clause("heads")
def test_the_heads_begin_with_numbers_of_their_own():
    torch.manual_seed(123)
    in_turn = [CausalAttention(3, 2, 6, 0.0) for _ in range(3)]
    torch.manual_seed(123)
    heads = heads_of(MultiHeadAttentionWrapper(3, 2, 6, 0.0, 3))
    for place, (head, expected) in enumerate(zip(heads, in_turn, strict=True)):
        because = f"after the same seed, head {place} differs from the one of three CausalAttention made in turn"
        close(head.W_key.weight, expected.W_key.weight, because)


@clause("heads")
def test_the_heads_are_told_the_context_length():
    wrapper = dealt(MultiHeadAttentionWrapper(3, 2, 11, 0.0, 4))
    heads_of(wrapper)
    with refuses(ValueError, 12, 11):
        wrapper(torch.zeros(1, 12, 3))
    seen = wrapper(numbers(1, 11, 3))
    assert seen.any(), "context_length is 11, and 11 tokens gave zeros"


@clause("heads")
def test_the_heads_are_told_the_dropout():
    torch.manual_seed(0)
    dropping, x = dealt(MultiHeadAttentionWrapper(3, 2, 6, 0.5, 4)), numbers(2, 6, 3)
    heads_of(dropping)
    never = dealt(MultiHeadAttentionWrapper(3, 2, 6, 0.0, 4))
    assert torch.equal(never(x), never(x)), "dropout is 0 and the module is training, yet two calls differ"
    first, second = dropping(x).unflatten(-1, (4, 2)), dropping(x).unflatten(-1, (4, 2))  # (batch, tokens, heads, 2)
    for head in range(4):
        differ = not torch.equal(first[:, :, head], second[:, :, head])
        assert differ, f"dropout is 0.5 and the module is training, yet two calls of head {head} give the same"
    close(dropping.eval()(x), never(x), "in eval(), dropout 0.5 gives other numbers than dropout 0")


@clause("joined")
def test_two_features_beside_two_are_four():
    wrapper = MultiHeadAttentionWrapper(1, 2, 6, 0.0, 2)
    for head, value in zip(heads_of(wrapper), ([[1.0], [2.0]], [[3.0], [4.0]]), strict=True):
        head.W_value.weight = torch.nn.Parameter(torch.tensor(value))
    seen = wrapper(torch.tensor([[[1.0]]]))
    because = f"one token, whose heads give (1, 2) and (3, 4), became {seen.tolist()}, expected 1, 2, 3, 4"
    close(seen, torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), because)


@clause("joined")
@pytest.mark.parametrize("num_heads", [1, 2, 5])
@pytest.mark.parametrize("d_out", [1, 2])
def test_each_head_gives_what_it_gives_alone(num_heads, d_out):
    wrapper, x = dealt(MultiHeadAttentionWrapper(3, d_out, 6, 0.0, num_heads)), numbers(2, 4, 3)
    alone = [head(x) for head in heads_of(wrapper)]
    because = f"{num_heads} heads of {d_out} features: the output is not what they give alone, side by side"
    close(wrapper(x), torch.cat(alone, dim=-1), because)


@clause("apart")
@given(st.integers(2, 4), st.data())
def test_changing_one_head_leaves_the_others_alone(num_heads, data):
    wrapper, x = dealt(MultiHeadAttentionWrapper(3, 2, 6, 0.0, num_heads)), numbers(2, 6, 3)
    head = data.draw(st.integers(0, num_heads - 1), label="head")
    name = data.draw(st.sampled_from(PROJECTIONS), label="name")
    before, own = wrapper(x), slice(2 * head, 2 * head + 2)
    with torch.no_grad():
        getattr(heads_of(wrapper)[head], name).weight += 1
    moved = wrapper(x) != before  # (batch, tokens, num_heads * 2)
    elsewhere = moved.clone()
    elsewhere[..., own] = False
    assert not elsewhere.any(), f"only {name} of head {head} changed, and features of another head moved"
    assert moved[..., own].any(), f"{name} of head {head} changed, and its own features did not move"


@clause("apart")
def test_every_head_reads_every_feature():
    wrapper, x = dealt(MultiHeadAttentionWrapper(4, 2, 6, 0.0, 2)), numbers(2, 6, 4)
    heads_of(wrapper)
    before = wrapper(x).unflatten(-1, (2, 2))  # (batch, tokens, heads, 2)
    for feature in range(4):
        changed = x.clone()
        changed[..., feature] += 1
        moved = (wrapper(changed).unflatten(-1, (2, 2)) != before).any(dim=-1).flatten(0, 1).any(dim=0)
        assert moved.all(), f"feature {feature} of the input changed; which heads noticed: {moved.tolist()}"


@clause("weights")
@pytest.mark.parametrize("bias", [False, True])
def test_four_layers_are_all_that_is_learned(bias):
    attention = MultiHeadAttention(3, 8, 6, 0.0, 4, bias)
    seen = {name: tuple(value.shape) for name, value in attention.named_parameters()}
    expected = {f"{name}.weight": (8, 3) for name in PROJECTIONS} | {"out_proj.weight": (8, 8), "out_proj.bias": (8,)}
    expected |= {f"{name}.bias": (8,) for name in PROJECTIONS if bias}
    told = f"d_in=3, d_out=8, num_heads=4, qkv_bias={bias}: the parameters are {seen}, expected {expected}"
    assert seen == expected, told


@clause("weights")
def test_queries_keys_and_values_have_no_bias_unless_it_is_asked_for():
    names = [name for name, _ in MultiHeadAttention(3, 8, 6, 0.0, 4).named_parameters()]
    biases = [name for name in names if "bias" in name]
    assert biases == ["out_proj.bias"], f"qkv_bias was not given and is False by default; the biases are {biases}"


@clause("weights")
@pytest.mark.parametrize("bias", [False, True])
def test_the_layers_are_made_in_the_books_order(bias):
    torch.manual_seed(123)
    in_turn = {name: torch.nn.Linear(3, 8, bias=bias) for name in PROJECTIONS} | {"out_proj": torch.nn.Linear(8, 8)}
    torch.manual_seed(123)
    seen = parameters(MultiHeadAttention(3, 8, 6, 0.0, 4, qkv_bias=bias))
    for name, layer in in_turn.items():
        for kind, expected in layer.named_parameters():
            because = f"after the same seed, {name}.{kind} is not that of four Linear made in turn: W_query, W_key, "
            close(seen[f"{name}.{kind}"], expected, because + "W_value (3 to 8 features), out_proj (8 to 8)")


@clause("divides")
@pytest.mark.parametrize("num_heads", [0, -1, -29, 2, 17, 58])
def test_heads_that_cannot_share_are_refused(num_heads):
    with refuses(ValueError, num_heads, 29):
        MultiHeadAttention(3, 29, 6, 0.0, num_heads)


@clause("divides")
@pytest.mark.parametrize("num_heads", [1, 3, 12])
def test_heads_that_can_share_are_fine(num_heads):
    try:
        attention = dealt(MultiHeadAttention(5, 12, 6, 0.0, num_heads))
    except (ValueError, AssertionError) as error:
        pytest.fail(f"num_heads={num_heads} can share a d_out of 12, and was refused: {error}")
    seen = attention(numbers(2, 4, 5))
    shape = tuple(seen.shape)
    assert shape == (2, 4, 12), f"{num_heads} heads share a d_out of 12: two texts of 4 tokens became {shape}"
    assert seen.any(), f"{num_heads} heads share a d_out of 12, and gave zeros"


@clause("example")
def test_one_head_averages_and_the_other_looks_at_the_first_token():
    attention = MultiHeadAttention(4, 2, 6, 0.0, 2)
    query, key = torch.zeros(2, 4), torch.zeros(2, 4)
    query[1, 3], key[1, 2] = 100.0, 100.0  # in head 1, every token scores 10 000 with the first, and 0 with all others
    with_weights(attention, query, key, torch.eye(2, 4))
    seen = attention(torch.tensor([[[2.0, 20.0, 1.0, 1.0], [4.0, 40.0, 0.0, 1.0], [6.0, 60.0, 0.0, 1.0]]]))
    because = f"values (2, 20), (4, 40), (6, 60) should give (2, 20), (3, 20), (4, 20); seen {seen[0].tolist()}"
    close(seen, torch.tensor([[[2.0, 20.0], [3.0, 20.0], [4.0, 20.0]]]), because)


@clause("slices")
@given(st.integers(2, 4), st.integers(1, 4), st.data())
def test_a_heads_rows_touch_its_own_features_alone(num_heads, d_in, data):
    attention = unmixed(dealt(MultiHeadAttention(d_in, num_heads * 3, 6, 0.0, num_heads)))
    x = numbers(2, 5, d_in)
    head, name = data.draw(st.integers(0, num_heads - 1), label="head"), data.draw(st.sampled_from(PROJECTIONS))
    before, own = attention(x), slice(3 * head, 3 * head + 3)
    with torch.no_grad():
        parameters(attention)[f"{name}.weight"][own] += 1
    moved = (attention(x) - before).abs() > 1e-5  # (batch, tokens, d_out)
    elsewhere = moved.clone()
    elsewhere[..., own] = False
    rows = f"rows {own.start} to {own.stop - 1} of {name}, those of head {head}"
    assert not elsewhere.any(), (
        f"out_proj is the identity, and only {rows}, changed, yet features of another head moved: heads got mixed. "
        "view() alone swaps no axes, neither when the heads are cut nor when they are joined"
    )
    assert moved[..., own].any(), f"out_proj is the identity and {rows}, changed, yet that head's features did not move"


@clause("scale")
def test_scores_are_divided_by_the_root_of_a_heads_width():
    attention, x = scaling(MultiHeadAttention)
    seen = attention(x)
    because = (
        "two heads share a d_out of 8, so head_dim is 4. Scores of 2 ln 3 and 0, divided by sqrt(4), are ln 3 and 0, "
        f"the weights 3/4 and 1/4, and the values 4 and 8 become 5; seen {seen[0, 1, 0].item():.4f}"
    )
    close(seen[:, 1], torch.full((1, 8), 5.0), because)


@clause("projected")
def test_the_output_is_what_out_proj_makes_of_the_heads():
    attention, x = unmixed(dealt(MultiHeadAttention(5, 6, 7, 0.0, 3))), numbers(2, 4, 5)
    joined, weight, bias = attention(x), numbers(6, 6, seed="weight"), numbers(6, seed="bias")
    with torch.no_grad():
        parameters(attention)["out_proj.weight"].copy_(weight)
        parameters(attention)["out_proj.bias"].copy_(bias)
    because = "with out_proj the identity the heads were seen; another out_proj, with its bias, does not apply to that"
    close(attention(x), linear(joined, weight, bias), because)


@clause("alike")
@given(cases())
def test_the_wrapper_gives_the_same_with_the_same_rows(case):
    attention, num_heads, x = case
    unmixed(attention)
    known = parameters(attention)
    head_dim = len(known["W_query.weight"]) // num_heads
    wrapper = MultiHeadAttentionWrapper(x.shape[-1], head_dim, 6, 0.0, num_heads, "W_query.bias" in known)
    for place, head in enumerate(heads_of(wrapper)):
        with_rows(head, known, slice(place * head_dim, place * head_dim + head_dim))
    because = (
        "the wrapper's heads have the rows of these weights in order, and out_proj is the identity, yet it differs"
    )
    close(attention(x), wrapper(x), because)


@clause("alike")
def test_one_head_is_causal_attention_and_out_proj():
    attention, single, x = dealt(MultiHeadAttention(5, 3, 7, 0.0, 1)), CausalAttention(5, 3, 7, 0.0), numbers(2, 4, 5)
    known = parameters(attention)
    expected = linear(with_rows(single, known, slice(None))(x), known["out_proj.weight"], known["out_proj.bias"])
    close(attention(x), expected, "one head should give what CausalAttention gives, passed through out_proj")


@clause("past")
@given(cases(), st.data())
def test_rewriting_the_future_leaves_the_past_alone(case, data):
    attention, _, x = case
    now, rewritten = data.draw(st.integers(0, x.shape[1] - 1), label="now"), x.clone()
    rewritten[:, now + 1 :] += 200 * numbers(*x[:, now + 1 :].shape, seed="rewritten")
    before, after = attention(x), attention(rewritten)
    because = f"only tokens after position {now} were rewritten, yet an output at or before it moved: it saw them"
    close(after[:, : now + 1], before[:, : now + 1], because)
    for position in range(now + 1, x.shape[1]):
        moved = not torch.equal(after[:, position], before[:, position])
        assert moved, f"tokens {now + 1} to {position} were rewritten, yet the output at {position} did not move"


@clause("past")
def test_a_glaring_future_stays_hidden():
    attention, x = glaring(MultiHeadAttention)
    seen = attention(x)[0, 0].tolist()
    assert seen == [2, 20], (
        f"the first token, of values 2 and 20, scores -40 000 with itself and 40 000 with a later one: it gives "
        f"{seen}, not [2, 20]. A hidden score that is only lowered, or set to some number, still counts"
    )


@clause("rows")
@given(cases(), st.data())
def test_rewriting_one_sequence_leaves_the_others_alone(case, data):
    attention, _, x = case
    row, rewritten = data.draw(st.integers(0, len(x) - 1), label="row"), x.clone()
    rewritten[row] += 200 * numbers(*x[row].shape, seed="rewritten")
    before, after = attention(x), attention(rewritten)
    others = [other for other in range(len(x)) if other != row]
    because = f"only row {row} of {len(x)} was rewritten, yet another moved: rows of the batch got mixed"
    close(after[others], before[others], because)
    assert not torch.equal(after[row], before[row]), f"row {row} was rewritten, yet its output did not move"


@clause("agrees")
@given(cases(square=True))
def test_agrees_with_torchs_class(case):
    attention, num_heads, x = case
    because = "with the same weights and a causal mask, nn.MultiheadAttention gives other numbers"
    close(attention(x), of_torchs_class(attention, num_heads, x), because)


@clause("agrees")
@given(cases())
def test_agrees_with_torchs_function(case):
    attention, num_heads, x = case
    because = "scaled_dot_product_attention of the same heads, joined and passed through out_proj, gives other numbers"
    close(attention(x), of_torch(attention, num_heads, x), because)


@clause("agrees")
@pytest.mark.parametrize("view", ["transposed", "every other feature", "one sequence three times"])
def test_a_view_is_as_good_as_a_copy(view):
    attention = dealt(MultiHeadAttention(5, 6, 7, 0.0, 3))
    x = {
        "transposed": numbers(2, 5, 6).mT,
        "every other feature": numbers(2, 6, 10)[..., ::2],
        "one sequence three times": numbers(1, 6, 5).expand(3, -1, -1),
    }[view]
    because = f"the input is a view, {view}: its numbers do not lie in a row"
    close(attention(x), of_torch(attention, 3, x.clone()), because)


def gradients_agree(attention, x, oracle, num_heads):
    """Assert that the input and every parameter get the gradient that the oracle gives them, in float64."""
    __tracebackhide__ = True
    attention, x = attention.double(), x.double().requires_grad_()
    leaves = {"the input": x} | parameters(attention)
    seen, expected = attention(x), oracle(attention, num_heads, x)
    assert seen.requires_grad, "no gradient flows back from the output: it was detached, or computed without gradients"
    towards = numbers(*seen.shape, seed="towards", dtype=torch.float64)
    theirs = torch.autograd.grad(expected, list(leaves.values()), towards)
    mine = torch.autograd.grad(seen, list(leaves.values()), towards, allow_unused=True)
    for name, gradient, right in zip(leaves, mine, theirs, strict=True):
        assert gradient is not None, f"no gradient reaches {name}: something on the way was detached"
        close(gradient, right, f"the gradient of {name} is not the one that PyTorch's own attention gives")


@clause("gradients")
def test_gradients_are_those_of_torchs_class():
    gradients_agree(dealt(MultiHeadAttention(6, 6, 7, 0.0, 3)), numbers(2, 4, 6), of_torchs_class, 3)


@clause("gradients")
@given(cases())
def test_gradients_are_those_of_torchs_function(case):
    attention, num_heads, x = case
    gradients_agree(attention, x, of_torch, num_heads)


@clause("gradients")
def test_dropout_lets_gradients_through():
    torch.manual_seed(0)
    attention, x = dealt(MultiHeadAttention(5, 6, 7, 0.5, 3)).train(), numbers(2, 6, 5).requires_grad_()
    attention(x).square().sum().backward()
    for name, leaf in {"the input": x, **parameters(attention)}.items():
        reached = leaf.grad is not None and leaf.grad.any()
        assert reached, f"with dropout 0.5, while training, no gradient reaches {name}"


@clause("gradients")
def test_without_gradients_the_output_is_the_same():
    attention, x = dealt(MultiHeadAttention(5, 6, 7, 0.0, 3)), numbers(2, 6, 5)
    expected = of_torch(attention, 3, x)
    with torch.no_grad():
        try:
            seen = attention(x)
        except RuntimeError as error:
            pytest.fail(f"under torch.no_grad, where there is nothing to go back through, the call ended: {error}")
    close(seen, expected, "under torch.no_grad the output is another one")


@clause("pure")
def test_a_call_leaves_the_input_alone():
    attention, x = dealt(MultiHeadAttention(5, 6, 7, 0.0, 3)), numbers(2, 6, 5)
    before = x.clone()
    seen = attention(x)
    assert torch.equal(x, before), "the input has other numbers after the call: something was written in place"
    because = "the input was left alone, but the output is not the one it should give"
    close(seen, of_torch(attention, 3, before), because)


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    attention, long, short = dealt(MultiHeadAttention(5, 6, 7, 0.0, 3)), numbers(2, 7, 5), numbers(1, 2, 5)
    first = attention(long)
    attention(short)
    close(attention(long), first, "7 tokens, then 2, then the same 7 gave other numbers: an earlier call left a trace")
    try:
        twin = copy.deepcopy(attention)
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call, with its gradients")
    close(twin(long), first, "a copy of the module gives other numbers than the module")


@clause("dropout")
def test_training_drops_weights_and_scales_up_the_rest():
    """Of 8 448 draws, a share of 0.03 above or below the mean is 6 standard deviations."""
    torch.manual_seed(0)
    seen = bare_weights(MultiHeadAttention, dropout=0.25, tokens=32)()[..., :-1].transpose(1, 2)
    counted = seen * torch.arange(1, 33)[:, None]  # (batch, heads, tokens, tokens): 1 where nothing is done
    counted = counted[:, :, torch.ones(32, 32).tril().bool()]
    dropped = (counted == 0).float().mean().item()
    assert 0 < dropped < 1, f"dropout is 0.25 and the module is training; a share of {dropped:g} was dropped"
    stayed = counted[counted != 0]
    because = f"with dropout 0.25, weights that stay count 1 / 0.75 = 1.33 times; here up to {stayed.amax():.3g} times"
    close(stayed, torch.full_like(stayed, 4 / 3), because)
    assert abs(dropped - 0.25) < 0.03, f"with dropout 0.25, a share of {dropped:.2f} of the weights was dropped"


@clause("dropout")
def test_it_is_the_weights_that_are_dropped():
    torch.manual_seed(0)
    seen = bare_weights(MultiHeadAttention, dropout=0.25, tokens=32)()
    because = "in each value one feature is the sum of the others, in the output not: were values or output dropped?"
    close(seen[..., -1], seen[..., :-1].sum(dim=-1), because)
    assert (seen[:, -1] == 0).any(), "dropout is 0.25 and the module is training, yet no weight was dropped"


@clause("dropout")
def test_every_weight_is_dropped_on_its_own():
    torch.manual_seed(0)
    call = bare_weights(MultiHeadAttention, dropout=0.25, tokens=32)
    first, second = call()[..., :31] == 0, call()[..., :31] == 0  # (batch, tokens, heads, 31): what was dropped
    for what, one, other in (
        ("two calls", first[:, -1], second[:, -1]),
        ("two heads", first[:, -1, 0], first[:, -1, 1]),
        ("two sequences of a batch", first[0, -1], first[1, -1]),
        ("two tokens", first[:, -1], first[:, -2]),
        ("all tokens of the past", first[:, -1, :, 1:], first[:, -1, :, :-1]),
    ):
        assert not torch.equal(one, other), f"{what} were thinned alike: there is one draw for what should be many"


@clause("dropout")
def test_eval_drops_nothing():
    attention, x = dealt(MultiHeadAttention(5, 6, 7, 0.5, 3)), numbers(2, 6, 5)
    without = dealt(MultiHeadAttention(5, 6, 7, 0.0, 3))(x)
    close(attention.eval()(x), without, "in eval(), dropout 0.5 gives other numbers than dropout 0")
    assert not torch.equal(attention.train()(x), without), "back in train(), dropout 0.5 drops nothing"


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    attention = dealt(MultiHeadAttention(5, 6, 7, 0.0, 3, qkv_bias=True).to(dtype))
    x = numbers(2, 6, 5, dtype=dtype)
    expected = of_torch(copy.deepcopy(attention).double(), 3, x.double()).to(dtype)
    close(attention(x), expected, f"{dtype} went in, and in that dtype and its precision PyTorch gives other numbers")


@clause("finite")
def test_huge_scores_stay_finite():
    attention, x = glaring(MultiHeadAttention)
    seen = attention(x.requires_grad_())
    assert seen.isfinite().all(), f"nan or inf in {seen.flatten().tolist()}: exp() of a raw score, or a row all hidden"
    expected = torch.tensor([[[2.0, 20.0], [3.0, 30.0], [3.0, 30.0]]])
    close(seen, expected, "scores of 40 000 leave no choice but 2, 3, 3 in one head and 20, 30, 30 in the other")
    seen.sum().backward()
    for name, leaf in {"the input": x, **parameters(attention)}.items():
        assert leaf.grad.isfinite().all(), f"the output is finite, but the gradient of {name} is not"


@clause("length")
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_too_many_tokens_are_refused(mode):
    attention = MultiHeadAttention(3, 4, 11, 0.0, 2).train(mode == "train")
    called = calls_within(attention)
    with refuses(ValueError, 12, 11):
        attention(torch.zeros(1, 12, 3))
    assert not called, f"12 tokens were refused, but only after {', '.join(called)} had worked on them"


@clause("length")
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("tokens", [1, 10, 11])
def test_any_length_that_fits_is_fine(tokens, mode):
    attention = dealt(MultiHeadAttention(3, 4, 11, 0.0, 2)).train(mode == "train")
    x = numbers(2, tokens, 3)
    close(attention(x), of_torch(attention, 2, x), f"context_length is 11, so {tokens} tokens fit, as in PyTorch")


@clause("mask")
def test_the_mask_is_not_saved():
    attention = MultiHeadAttention(3, 4, 6, 0.0, 2)
    extra = [name for name in attention.state_dict() if name.rpartition(".")[0] not in LAYERS]
    assert not extra, f"the state dict also holds {extra}: what can be derived need not be saved"


@clause("mask")
def test_weights_travel_to_another_context_length():
    short, long = dealt(MultiHeadAttention(3, 4, 4, 0.0, 2)), MultiHeadAttention(3, 4, 9, 0.0, 2)
    x = numbers(2, 4, 3)
    expected = short(x)
    assert not torch.equal(long(x), expected), "two modules with different weights give the same output"
    long.load_state_dict(short.state_dict())
    close(long(x), expected, "with the same weights, a context_length of 9 gives other numbers than one of 4")
    short.load_state_dict(long.state_dict())
    close(short(x), expected, "weights went from a context_length of 4 to one of 9 and back, and the numbers changed")


@clause("mask")
@pytest.mark.parametrize("device", DEVICES)
def test_the_module_works_on_the_device_that_it_is_moved_to(device):
    if not DEVICES[device]():
        pytest.skip(f"this machine has no {device}")
    attention, x = dealt(MultiHeadAttention(3, 4, 6, 0.0, 2)), numbers(2, 4, 3)
    expected = of_torch(attention, 2, x).detach()
    attention, x = attention.to(device), x.to(device)
    with OneDevice():
        seen = attention(x)
    assert seen.device.type == device, f"module and input were moved to {device}, the output is on {seen.device}"
    if device != "meta":  # where tensors have shapes and no values
        close(seen.cpu(), expected, f"on {device} the numbers are others than on the CPU")
