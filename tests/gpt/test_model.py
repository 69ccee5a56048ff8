"""The GPT model, clause by clause. The why: docs/gpt/model.md."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, embedding, gelu, layer_norm, linear, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from katas.attention.multihead import MultiHeadAttention
from katas.gpt.block import TransformerBlock
from katas.gpt.config import GPTConfig
from katas.gpt.model import GPTModel, count_parameters
from tests.support import clause, close, dealt, numbers, refuses, same

PARTS = {"tok_emb": "Embedding", "pos_emb": "Embedding", "drop_emb": "Dropout", "trf_blocks": "Sequential"}
PARTS |= {"final_norm": "LayerNorm", "out_head": "Linear"}
IDS = [[3, 0, 10, 3, 7], [1, 1, 5, 2, 9]]  # of a vocabulary of 11


def sizes(**changes):
    """A configuration in which no two sizes are equal."""
    usual = {"vocab_size": 11, "context_length": 7, "emb_dim": 6, "n_heads": 3, "n_layers": 2}
    return GPTConfig(**{**usual, "drop_rate": 0.0, "qkv_bias": False, **changes})


def ids(batch, tokens, seed=0):
    """Token ids of a vocabulary of 11, the same on every platform."""
    return ((numbers(batch, tokens, seed=f"ids {seed}") + 1) * 5.5).long().clamp(0, 10)


@st.composite
def cases(draw):
    """A model, its n_heads and ids for it: Hypothesis draws the sizes and the seed; the seed deals the numbers."""
    batch, tokens = draw(st.integers(1, 3), label="batch"), draw(st.integers(1, 7), label="tokens")
    n_heads, head_dim = draw(st.sampled_from([(1, 4), (2, 2), (5, 1)]), label="n_heads, head_dim")
    n_layers, qkv_bias = draw(st.integers(1, 2), label="n_layers"), draw(st.booleans(), label="qkv_bias")
    config = sizes(emb_dim=n_heads * head_dim, n_heads=n_heads, n_layers=n_layers, qkv_bias=qkv_bias)
    return dealt(GPTModel(config)), n_heads, ids(batch, tokens, draw(st.integers(0, 99), label="seed"))


class Named(dict):
    """Parameters by name; one that is not there fails the test that needs it."""

    def __missing__(self, name):
        near = name
        while near and not any(known.startswith(f"{near}.") for known in self):
            near = near.rpartition(".")[0]
        there = [known for known in self if known.startswith(near)]
        raise AssertionError(f"there is no parameter {name}; there are {there[:6]}{' ...' if there[6:] else ''}")


def parameters(model):
    return Named(model.named_parameters())


def blocks_of(model):
    """The blocks, in whatever they are kept: what it has to be is a clause of its own."""
    blocks = getattr(model, "trf_blocks", ())
    return list(blocks.children() if isinstance(blocks, torch.nn.Module) else blocks)


def looked_up(model, token_ids):
    """The sum of the two rows, by PyTorch's own embedding."""
    known, positions = parameters(model), torch.arange(token_ids.shape[1])
    return embedding(token_ids, known["tok_emb.weight"]) + embedding(positions, known["pos_emb.weight"])


def scored(model, x):
    """The logits of what the last block gave, by PyTorch's own layer norm and linear map."""
    known = parameters(model)
    normed = layer_norm(x, x.shape[-1:], known["final_norm.scale"], known["final_norm.shift"], 1e-5)
    return linear(normed, known["out_head.weight"])


def of_torch(model, n_heads, token_ids):
    """The whole model in PyTorch's own functions."""
    known, x = parameters(model), looked_up(model, token_ids)
    width = x.shape[-1:]
    for place in range(len(blocks_of(model))):
        at = f"trf_blocks.{place}"
        normed = layer_norm(x, width, known[f"{at}.norm1.scale"], known[f"{at}.norm1.shift"], 1e-5)
        heads = []
        for name in ("W_query", "W_key", "W_value"):
            made = linear(normed, known[f"{at}.att.{name}.weight"], known.get(f"{at}.att.{name}.bias"))
            heads.append(made.unflatten(-1, (n_heads, -1)).transpose(1, 2))
        joined = scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2)
        x = x + linear(joined, known[f"{at}.att.out_proj.weight"], known[f"{at}.att.out_proj.bias"])
        normed = layer_norm(x, width, known[f"{at}.norm2.scale"], known[f"{at}.norm2.shift"], 1e-5)
        wide = linear(normed, known[f"{at}.ff.layers.0.weight"], known[f"{at}.ff.layers.0.bias"])
        wide = gelu(wide, approximate="tanh")
        x = x + linear(wide, known[f"{at}.ff.layers.2.weight"], known[f"{at}.ff.layers.2.bias"])
    return scored(model, x)


def silenced(model):
    """The model, whose blocks give zeros for att and ff, and so hand on what they read."""
    known = parameters(model)
    with torch.no_grad():
        for place in range(len(blocks_of(model))):
            for layer in ("att.out_proj", "ff.layers.2"):
                for kind in ("weight", "bias"):
                    known[f"trf_blocks.{place}.{layer}.{kind}"].zero_()
    return model


def watched(model):
    """A list that takes a triple at each call of a block: its place, what it read and what it gave."""
    calls = []
    for place, block in enumerate(blocks_of(model)):
        block.register_forward_hook(lambda _, args, gave, place=place: calls.append((place, args[0], gave)))
    return calls


def read_by_the_blocks(model, token_ids):
    """What the first block reads."""
    calls = watched(model)
    model(token_ids)
    assert calls, "the model was called, and none of the modules in trf_blocks was"
    return calls[0][1]


class Summing(torch.nn.Module):
    """An attention of another kind: the sum of the past. It has no limit of tokens."""

    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias):
        super().__init__()
        self.mixed = torch.nn.Linear(d_in, d_out)

    def forward(self, x):
        return self.mixed(x).cumsum(dim=1)


class OnTheCPU(TorchFunctionMode):
    """Fails as soon as one of torch's functions returns a tensor on another device; what follows may read nothing."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.device.type != "cpu":
            name = getattr(function, "__name__", str(function))
            raise AssertionError(
                f"the ids are on the CPU, and {name} made a tensor on torch's default device, another one"
            )
        return result


class Projecting(torch.nn.Module):
    """The parameters of multi-head attention and nothing else: its mask would take a second on the meta device."""

    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias):
        super().__init__()
        self.projections = torch.nn.ModuleList([torch.nn.Linear(d_in, d_out, bias=qkv_bias) for _ in range(3)])
        self.out_proj = torch.nn.Linear(d_out, d_out)


class Pair(torch.nn.Module):
    """A model of two weights, which count_parameters can tie, and one more of three numbers."""

    def __init__(self, tok_emb=None, out_head=None):
        super().__init__()
        self.tok_emb, self.out_head = tok_emb, out_head
        self.more = torch.nn.Parameter(torch.zeros(3))


def tables(bias=False, width=4):
    return torch.nn.Embedding(5, 4), torch.nn.Linear(width, 5, bias=bias)


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""
    token_ids = torch.tensor(IDS)

    def made(*attention, **changes):
        return dealt(kata.GPTModel(sizes(**changes), *attention))

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def fresh(*attention, **changes):
        torch.manual_seed(5)
        model = kata.GPTModel(sizes(**changes), *attention)
        parts = [(name, type(part).__name__, getattr(part, "p", None)) for name, part in model.named_modules()]
        return parts, [(name, value.flatten()[:3]) for name, value in model.state_dict().items()]

    def gradients(**changes):
        model = made(**changes)
        model(token_ids).square().sum().backward()
        return [parameter.grad for parameter in model.parameters()]

    def without_gradients():
        with torch.no_grad():
            return made()(token_ids)

    def changed():
        given = token_ids.clone()
        tried(lambda: made()(given))
        return given

    def twice():
        model = made()
        first = model(token_ids[:, :2])
        return first, tried(lambda: model(token_ids)), tried(lambda: copy.deepcopy(model)(token_ids))

    def precision():
        seen, exact = made().double()(token_ids), of_torch(made().double(), 3, token_ids)
        return str(seen.dtype), [torch.allclose(seen.double(), exact, rtol=bar, atol=bar) for bar in (1e-4, 1e-9)]

    def lengths(*attention):
        for tokens in (1, 7, 8, 9):
            for mode in (True, False):
                model, given = made(*attention).train(mode), ids(2, tokens)
                yield tried(lambda model=model, given=given: model(given), given.shape[1], 7)

    def outside():
        for wrong in (-1, -11, 11, 12, -100):
            given = token_ids.clone()
            given[1, 2] = wrong
            yield tried(lambda given=given: made()(given))

    def draws():
        model = made(drop_rate=0.25, emb_dim=9)
        with torch.no_grad():
            model.tok_emb.weight.fill_(0.4)
            model.pos_emb.weight.fill_(0.6)
        first, second = read_by_the_blocks(model, ids(8, 7)), read_by_the_blocks(model, ids(8, 7))
        return sorted({round(value, 3) for value in first.flatten().tolist()}), first[0], second[1]

    def by_default_elsewhere():
        model = made()
        with torch.device("meta"), OnTheCPU():
            return model(token_ids)

    def counted():
        yield kata.count_parameters(made())
        yield kata.count_parameters(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh()))

    def shared():
        layer = torch.nn.Linear(3, 4)
        return kata.count_parameters(torch.nn.Sequential(layer, torch.nn.Linear(4, 3), layer))

    def tied():
        for pair in (Pair(*tables(bias=True)), Pair(*tables())):
            yield (
                tried(lambda pair=pair: kata.count_parameters(pair, True)),
                pair.out_head.weight is pair.tok_emb.weight,
            )
        yield tried(lambda: kata.count_parameters(made(), tied=True))

    def tied_already():
        table, head = tables(bias=True)
        head.weight = table.weight
        return [tried(lambda tied=tied: kata.count_parameters(Pair(table, head), tied)) for tied in (False, True)]

    def missing():
        table, head = tables()
        for pair in (Pair(table), Pair(None, head), Pair(torch.nn.Identity(), head)):
            yield tried(lambda pair=pair: kata.count_parameters(pair, True), "out_head", "tok_emb")

    return {
        "numbers": lambda: made(qkv_bias=True)(token_ids),
        "deep": lambda: made(n_layers=4)(token_ids),
        "silent": lambda: silenced(made())(token_ids),
        "read": lambda: read_by_the_blocks(made(), token_ids),
        "gradients": lambda: [gradients(), gradients(drop_rate=0.25)],
        "without gradients": without_gradients,
        "changed": changed,
        "twice": twice,
        "fresh": lambda: fresh(qkv_bias=True, drop_rate=0.25),
        "attention": lambda: [fresh(Summing), made(Summing)(token_ids)],
        "draws": draws,
        "training": lambda: made(drop_rate=0.25)(token_ids),
        "eval": lambda: made(drop_rate=0.25).eval()(token_ids),
        "float64": precision,
        "bfloat16": lambda: str(made().bfloat16()(token_ids).dtype),
        "int32": lambda: tried(lambda: made()(token_ids.int())),
        "lengths": lambda: [list(lengths()), list(lengths(Summing))],
        "outside": lambda: list(outside()),
        "elsewhere": lambda: tried(by_default_elsewhere),
        "counted": lambda: list(counted()),
        "frozen": lambda: kata.count_parameters(torch.nn.Linear(3, 4).requires_grad_(False)),
        "buffers": lambda: kata.count_parameters(torch.nn.BatchNorm1d(4)),
        "shared": shared,
        "tied": lambda: list(tied()),
        "tied already": tied_already,
        "missing": lambda: list(missing()),
        "shapes": lambda: tried(lambda: kata.count_parameters(Pair(*tables(width=6)), True), (5, 4), (5, 6)),
    }


@clause("parts")
def test_six_parts_are_made_in_the_books_order():
    model = GPTModel(sizes(drop_rate=0.25, n_layers=3))
    seen = {name: type(part).__name__ for name, part in model.named_children()}
    same(list(seen.items()), list(PARTS.items()), "the parts of the model, in the order in which they are made")
    rate = model.drop_emb.p
    assert rate == 0.25, f"drop_rate=0.25, and drop_emb drops {rate:g}"
    kinds = [type(block).__name__ for block in blocks_of(model)]
    same(kinds, ["TransformerBlock"] * 3, "the blocks of a model with n_layers=3")


@clause("parts")
def test_what_is_saved_has_the_books_names_and_shapes():
    seen = {name: tuple(value.shape) for name, value in GPTModel(sizes()).state_dict().items()}
    expected = {"tok_emb.weight": (11, 6), "pos_emb.weight": (7, 6)}
    for place in range(2):
        block = {name: tuple(value.shape) for name, value in TransformerBlock(sizes()).state_dict().items()}
        expected |= {f"trf_blocks.{place}.{name}": shape for name, shape in block.items()}
    expected |= {"final_norm.scale": (6,), "final_norm.shift": (6,), "out_head.weight": (11, 6)}
    same(
        list(seen.items()),
        list(expected.items()),
        "what is saved, in order: vocab_size=11, context_length=7, emb_dim=6",
    )


@clause("parts")
def test_after_a_seed_the_numbers_are_those_of_the_parts_made_in_turn():
    torch.manual_seed(123)
    in_turn = {"tok_emb": torch.nn.Embedding(11, 6), "pos_emb": torch.nn.Embedding(7, 6)}
    in_turn |= {f"trf_blocks.{place}": TransformerBlock(sizes()) for place in range(2)}
    in_turn |= {"out_head": torch.nn.Linear(6, 11, bias=False)}
    torch.manual_seed(123)
    known = parameters(GPTModel(sizes()))
    for part, twin in in_turn.items():
        for name, expected in twin.named_parameters():
            because = f"after the same seed, {part}.{name} is not that of the parts made one after the other"
            close(known[f"{part}.{name}"], expected, because)


@clause("attention")
def test_every_block_has_a_new_attention_of_the_kind_that_is_given():
    model = GPTModel(sizes(n_layers=3), Summing)
    kinds = [type(block.att).__name__ for block in blocks_of(model)]
    assert kinds == ["Summing"] * 3, f"attention is a class called Summing, and the blocks have {kinds}"
    weights = [block.att.mixed.weight for block in blocks_of(model)]
    for place, weight in enumerate(weights[:-1]):
        because = "each block should be made anew: a list times n, or a copy, repeats one"
        assert not torch.equal(weight, weights[place + 1]), f"blocks {place} and {place + 1} began alike: {because}"


@clause("attention")
def test_attention_is_asked_for_what_the_configuration_says():
    asked = []

    def attention(**kwargs):
        asked.append(kwargs)
        return MultiHeadAttention(**kwargs)

    GPTModel(sizes(n_layers=3, drop_rate=0.25, qkv_bias=True), attention)
    expected = {"d_in": 6, "d_out": 6, "context_length": 7, "dropout": 0.25, "num_heads": 3, "qkv_bias": True}
    same(asked, [expected] * 3, "what attention was asked for by three blocks")


@clause("example")
def test_four_zero_at_the_position_one_nine_scores_minus_one_one_minus_one():
    model = silenced(dealt(GPTModel(sizes(vocab_size=3, context_length=1, emb_dim=2, n_heads=1))))
    rows = {"tok_emb.weight": [[0.0, 0.0], [9.0, 9.0], [4.0, 0.0]], "pos_emb.weight": [[1.0, 9.0]]}
    rows |= {"final_norm.scale": [1.0, 1.0], "final_norm.shift": [0.0, 0.0]}
    rows |= {"out_head.weight": [[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]}
    known = parameters(model)
    with torch.no_grad():
        for name, wanted in rows.items():
            known[name].copy_(torch.tensor(wanted))
    seen = model(torch.tensor([[2]]))
    because = f"(4, 0) and (1, 9) are (5, 9), normed (-1, 1), and score -1, 1, -1; seen {seen.flatten().tolist()}"
    close(seen, torch.tensor([[[-1.0, 1.0, -1.0]]]), because)


@clause("sum")
@given(cases())
def test_the_blocks_read_the_sum_of_the_tokens_row_and_the_positions(case):
    model, _, token_ids = case
    because = "the first block should read, for each token, its row of tok_emb plus the row of its position, from 0"
    close(read_by_the_blocks(model, token_ids), looked_up(model, token_ids), because)


@clause("blocks")
@pytest.mark.parametrize("n_layers", [1, 2, 5])
def test_each_block_works_once_on_what_the_one_before_gave(n_layers):
    model = dealt(GPTModel(sizes(n_layers=n_layers)))
    calls = watched(model)
    logits = model(torch.tensor(IDS))
    places = [place for place, _, _ in calls]
    assert places == list(range(n_layers)), f"with n_layers={n_layers}, the blocks were called in the order {places}"
    for (place, _, gave), (_, read, _) in itertools.pairwise(calls):
        close(read, gave, f"block {place + 1} should read what block {place} gave")
    assert logits.any(), f"the {n_layers} blocks worked, and the logits are nothing but zeros"


@clause("head")
@given(cases())
def test_the_logits_are_the_head_of_the_normed_output_of_the_last_block(case):
    model, _, token_ids = case
    calls = watched(model)
    seen = model(token_ids)
    assert calls, "the model was called, and none of the modules in trf_blocks was"
    because = "logits are out_head of final_norm of what the last block gave, for every position, with nothing behind"
    close(seen, scored(model, calls[-1][2]), because)


@clause("past")
@given(cases(), st.data())
def test_rewriting_the_future_and_other_sequences_changes_nothing(case, data):
    model, _, token_ids = case
    row = data.draw(st.integers(0, len(token_ids) - 1), label="row")
    now = data.draw(st.integers(0, token_ids.shape[1] - 1), label="now")
    rewritten = (token_ids + 1) % 11
    rewritten[row, : now + 1] = token_ids[row, : now + 1]
    before, after = model(token_ids), model(rewritten)
    because = f"all ids were rewritten but those at positions 0 to {now} of row {row}, and the logits there moved"
    close(after[row, : now + 1], before[row, : now + 1], because)
    unmoved = torch.isclose(after, before).all(dim=-1)
    unmoved[row, : now + 1] = False
    assert not unmoved.any(), "ids were rewritten, and the logits at their positions stayed as they were"


@clause("past")
@given(cases(), st.data())
def test_a_shorter_text_gets_the_logits_of_the_longer_one(case, data):
    model, _, token_ids = case
    tokens = data.draw(st.integers(1, token_ids.shape[1]), label="tokens")
    because = f"the first {tokens} of {token_ids.shape[1]} tokens, on their own, got other logits than with the rest"
    seen = model(token_ids[:, :tokens])
    close(seen, model(token_ids)[:, :tokens], because)
    assert seen.any(), "the logits are nothing but zeros"


@clause("agrees")
@given(cases())
def test_agrees_with_torchs_functions(case):
    model, n_heads, token_ids = case
    because = "PyTorch's own functions, with the same parameters, give other logits"
    close(model(token_ids), of_torch(model, n_heads, token_ids), because, rtol=1e-3, atol=1e-4)


@clause("gradients")
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_torchs_functions(bias):
    model, token_ids = dealt(GPTModel(sizes(qkv_bias=bias)).double()), torch.tensor(IDS)
    seen, expected = model(token_ids), of_torch(model, 3, token_ids)
    assert seen.requires_grad, "no gradient flows back from the logits: they were detached, or made without gradients"
    known, towards = parameters(model), numbers(*seen.shape, seed="towards", dtype=torch.float64)
    theirs = torch.autograd.grad(expected, list(known.values()), towards, allow_unused=True)
    mine = torch.autograd.grad(seen, list(known.values()), towards, allow_unused=True)
    for name, gradient, right in zip(known, mine, theirs, strict=True):
        if right is None:
            continue  # a parameter that the formula does not know
        assert gradient is not None, f"no gradient reaches {name}: it is not used, or was detached on the way"
        close(gradient, right, f"the gradient of {name} is not the one that PyTorch's own functions give", rtol=1e-6)


@clause("gradients")
def test_without_gradients_the_logits_are_the_same():
    model, token_ids = dealt(GPTModel(sizes())), torch.tensor(IDS)
    expected = of_torch(model, 3, token_ids)
    with torch.no_grad():
        try:
            seen = model(token_ids)
        except RuntimeError as error:
            pytest.fail(f"under torch.no_grad, where there is nothing to go back through, the call ended: {error}")
    close(seen, expected, "under torch.no_grad the logits are others")


def dropping(drop_rate=0.25):
    """A function of no arguments that calls a model, whose two rows add up to ones, and gives what its blocks read."""
    model = dealt(GPTModel(sizes(emb_dim=9, drop_rate=drop_rate)))
    known = parameters(model)
    with torch.no_grad():
        known["tok_emb.weight"].fill_(0.4)
        known["pos_emb.weight"].fill_(0.6)
    return lambda: read_by_the_blocks(model, ids(16, 7))


@clause("dropout")
def test_the_sum_is_thinned_and_scaled_up():
    """Of 1 008 draws, a share of 0.085 above or below the mean is 6 standard deviations."""
    torch.manual_seed(0)
    seen = dropping()() * 0.75
    levels = sorted({round(value, 4) for value in seen.flatten().tolist()})
    because = (
        "the rows of tok_emb are 0.4 and those of pos_emb 0.6, drop_rate is 0.25: what the blocks read, times 0.75, "
        f"should be 0 and 1; it is {levels[:8]}"
    )
    assert levels == [0, 1], because
    share = (seen == 0).float().mean().item()
    assert abs(share - 0.25) < 0.085, f"drop_rate is 0.25, and a share of {share:.2f} of the sum was dropped"


@clause("dropout")
def test_every_number_is_dropped_on_its_own():
    torch.manual_seed(0)
    call = dropping()
    first, second = call() == 0, call() == 0
    for what, one, other in (
        ("two calls", first, second),
        ("two sequences of a batch", first[0], first[1]),
        ("two tokens", first[:, 0], first[:, 1]),
        ("two features", first[..., 0], first[..., 1]),
    ):
        assert not torch.equal(one, other), f"{what} were thinned alike: there is one draw for what should be many"


@clause("dropout")
def test_behind_the_blocks_nothing_is_dropped():
    torch.manual_seed(0)
    model = dealt(GPTModel(sizes(drop_rate=0.5)))
    calls = watched(model)
    seen = model(torch.tensor(IDS))
    assert calls, "the model was called, and none of the modules in trf_blocks was"
    because = "while training, the logits are not those of what the last block gave: is something dropped on the way?"
    close(seen, scored(model, calls[-1][2]), because)


@clause("dropout")
def test_eval_drops_nothing():
    torch.manual_seed(0)
    model, token_ids = dealt(GPTModel(sizes(drop_rate=0.5))), torch.tensor(IDS)
    expected = of_torch(model, 3, token_ids)
    close(model.eval()(token_ids), expected, "in eval(), drop_rate 0.5 gives other logits than no dropout", rtol=1e-3)
    assert not torch.isclose(model.train()(token_ids), expected).all(), "back in train(), drop_rate 0.5 drops nothing"


@clause("fresh")
@pytest.mark.parametrize("vocab_size", [20, 500])
def test_a_new_model_knows_nothing(vocab_size):
    torch.manual_seed(0)
    model = GPTModel(sizes(vocab_size=vocab_size, context_length=16, emb_dim=24, n_heads=4))
    token_ids, targets = torch.randint(vocab_size, (2, 16, 16))
    logits, even = model(token_ids), math.log(vocab_size)
    loss = cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
    assert abs(loss - even) < 0.5, (
        f"a new model with a vocab_size of {vocab_size} has a loss of {loss:.2f}; a guess has ln {vocab_size} = "
        f"{even:.2f}, and PyTorch's own initial numbers come within 0.5 of it"
    )
    assert logits.any(), "a new model has the loss of a guess, but for the reason that its logits are zeros"


@clause("pure")
def test_a_call_leaves_ids_and_model_as_they_were():
    model, short = dealt(GPTModel(sizes())), torch.tensor([[4, 2]])
    token_ids = torch.tensor(IDS)
    expected = of_torch(model, 3, token_ids)
    model(short)
    because = "one text of 2 tokens, then two of 5: an earlier call left a trace"
    close(model(token_ids), expected, because, rtol=1e-3, atol=1e-4)
    assert token_ids.tolist() == IDS, f"the ids were written to: they are {token_ids.tolist()} after the call"
    try:
        twin = copy.deepcopy(model)
    except RuntimeError:
        pytest.fail("after a call the model cannot be copied: it keeps a result of that call, with its gradients")
    close(twin(token_ids), expected, "a copy of the model gives other logits than the model", rtol=1e-3, atol=1e-4)


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_the_logits_have_the_dtype_of_the_parameters(dtype):
    model, token_ids = dealt(GPTModel(sizes()).to(dtype)), torch.tensor(IDS)
    expected = of_torch(copy.deepcopy(model).double(), 3, token_ids).to(dtype)
    loose = {"rtol": 0.2, "atol": 0.2} if dtype == torch.bfloat16 else {}
    close(
        model(token_ids), expected, f"the parameters are {dtype}, and in that precision PyTorch gives others", **loose
    )


@clause("dtype")
def test_ids_may_be_int32():
    model, token_ids = dealt(GPTModel(sizes())), torch.tensor(IDS)
    try:
        seen = model(token_ids.int())
    except (RuntimeError, IndexError) as error:
        pytest.fail(f"ids of int32 are fine for nn.Embedding, and here the call ended: {error}")
    close(seen, model(token_ids), "the same ids as int32 and as int64 give other logits")
    assert seen.any(), "two texts of 5 tokens gave nothing but zeros"


@clause("device")
def test_a_call_makes_everything_on_the_device_of_the_ids():
    model, token_ids = dealt(GPTModel(sizes())), torch.tensor(IDS)
    expected = of_torch(model, 3, token_ids)
    with torch.device("meta"), OnTheCPU():
        seen = model(token_ids)
    close(seen, expected, "with another default device the logits are others", rtol=1e-3, atol=1e-4)


@clause("length")
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("attention", [MultiHeadAttention, Summing], ids=["usual", "without-limit"])
def test_too_many_tokens_are_refused(attention, mode):
    model = GPTModel(sizes(context_length=13), attention).train(mode == "train")
    with refuses(ValueError, 14, 13):
        model(ids(1, 14))


@clause("length")
@pytest.mark.parametrize("tokens", [1, 12, 13])
def test_any_length_that_fits_is_fine(tokens):
    model, token_ids = dealt(GPTModel(sizes(context_length=13))), ids(2, tokens)
    because = f"context_length is 13, so {tokens} tokens fit, as in PyTorch"
    close(model(token_ids), of_torch(model, 3, token_ids), because, rtol=1e-3, atol=1e-4)


@clause("range")
@pytest.mark.parametrize("wrong", [-1, 11])
def test_an_id_outside_the_vocabulary_is_refused(wrong):
    model, token_ids = GPTModel(sizes()), torch.tensor(IDS)
    token_ids[1, 3] = wrong
    with refuses(IndexError):
        model(token_ids)


@clause("counted")
def test_every_number_of_every_parameter_counts():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2, bias=False))
    seen = count_parameters(model)
    same(seen, 24, "a Linear from 3 to 4, with its bias, has 16 numbers, and one from 4 to 2 without has 8")
    model[0].requires_grad_(False)
    same(count_parameters(model), 24, "the first of two layers was frozen: its 16 numbers count still, with 8 others")


@clause("counted")
def test_buffers_do_not_count():
    same(
        count_parameters(torch.nn.BatchNorm1d(4)), 8, "4 scales and 4 shifts; means, variances and a count are buffers"
    )


@clause("shared")
def test_a_shared_parameter_counts_once():
    layer, twin = torch.nn.Linear(3, 4, bias=False), torch.nn.Linear(3, 4, bias=False)
    same(count_parameters(torch.nn.ModuleList([layer, twin, layer])), 24, "12 numbers in two places, and 12 others")
    twin.weight = layer.weight
    same(
        count_parameters(torch.nn.ModuleList([layer, twin])),
        12,
        "two layers with one and the same weight of 12 numbers",
    )


@clause("tied")
def test_a_tied_head_counts_nothing_but_its_bias():
    table, head = tables(bias=True)
    model = Pair(table, head)
    same(count_parameters(model), 48, "a table of 20, a head of 20 and 5, and 3 more")
    same(
        count_parameters(model, tied=True), 28, "a table of 20, a bias of 5, and 3 more: the head's 20 are the table's"
    )
    assert model.out_head.weight is not model.tok_emb.weight, "the model itself was tied, and should only be counted"


@clause("tied")
def test_what_is_shared_already_is_not_taken_away_again():
    table, head = tables()
    head.weight = table.weight
    for tied in (False, True):
        because = f"a table of 20 that is the head's weight too, and 3 more, with tied={tied}"
        same(count_parameters(Pair(table, head), tied=tied), 23, because)


@clause("untied")
@pytest.mark.parametrize("missing", ["tok_emb", "out_head"])
def test_a_model_without_the_two_cannot_be_tied(missing):
    for instead in (None, torch.nn.Identity()):  # no such part, and one that has no weight
        model = Pair(*tables())
        setattr(model, missing, instead)
        with refuses(ValueError, missing):
            count_parameters(model, tied=True)


@clause("untied")
def test_weights_of_different_shapes_cannot_be_tied():
    with refuses(ValueError, (5, 4), (5, 6)):
        count_parameters(Pair(*tables(width=6)), tied=True)


@pytest.mark.slow
@clause("small")
def test_gpt2_small_has_163_million_parameters_or_124():
    config = GPTConfig(
        vocab_size=50_257, context_length=1_024, emb_dim=768, n_heads=12, n_layers=12, drop_rate=0.1, qkv_bias=False
    )
    with torch.device("meta"):
        model = GPTModel(config, Projecting)
    same(count_parameters(model), 163_009_536, "GPT-2 small, its head not tied")
    same(count_parameters(model, tied=True), 124_412_160, "GPT-2 small, its head tied to tok_emb")
