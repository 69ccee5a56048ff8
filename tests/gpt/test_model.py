"""The GPT model, clause by clause. The why: docs/gpt/model.md.

What a model should give is computed with its own parts, or with simple blocks in the place of its own: how well a block
or a norm does its work is for its own kata to say.
"""

import copy
import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from katas.attention.multihead import MultiHeadAttention
from katas.gpt.block import TransformerBlock
from katas.gpt.config import GPTConfig
from katas.gpt.model import GPTModel, count_parameters
from tests import laws, probes
from tests.probes import tried
from tests.support import Moved, clause, close, dealt, refuses, same

IDS = torch.tensor([[3, 0, 10, 3, 7], [1, 1, 5, 2, 9]])  # of a vocabulary of 11


def sizes(**changes):
    """A configuration in which no two sizes are equal."""
    usual = {"vocab_size": 11, "context_length": 7, "emb_dim": 6, "n_heads": 3, "n_layers": 2}
    return GPTConfig(**{**usual, "drop_rate": 0.0, "qkv_bias": False, **changes})


class Noting(torch.nn.Module):
    """A block that doubles what it reads, adds its place, and notes what it read and what it gave."""

    def __init__(self, place):
        super().__init__()
        self.place, self.read, self.gave = place, [], []

    def forward(self, x):
        self.read.append(x)
        self.gave.append(2 * x + self.place)
        return self.gave[-1]


def noting(model):
    """The model with Noting in the place of its blocks, and these."""
    blocks = [Noting(place) for place in range(len(model.trf_blocks))]
    model.trf_blocks = torch.nn.Sequential(*blocks)
    return model, blocks


def read_by_the_first(model, token_ids):
    """What the first block reads."""
    model, blocks = noting(model)
    model(token_ids)
    assert blocks[0].read, "the model was called, but its first block was not"
    return blocks[0].read[0]


def embedded(model, token_ids):
    return model.tok_emb(token_ids) + model.pos_emb(torch.arange(token_ids.shape[1]))


def by_parts(model, token_ids):
    """The logits, computed with the model's own parts one by one."""
    x = embedded(model, token_ids)
    for block in model.trf_blocks:
        x = block(x)
    return model.out_head(model.final_norm(x))


def dropping(kata_class, drop_rate):
    """What the first block reads in training mode, where the two rows add up to ones."""
    model = kata_class(sizes(emb_dim=12, drop_rate=drop_rate)).train()
    with torch.no_grad():
        model.tok_emb.weight.fill_(0.4)
        model.pos_emb.weight.fill_(0.6)
    return read_by_the_first(model, torch.arange(56).reshape(8, 7) % 11)


class Summing(torch.nn.Module):
    """An attention of another kind: the sum of the tokens so far. It has no limit of tokens."""

    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias):
        super().__init__()
        self.mixed = torch.nn.Linear(d_in, d_out)

    def forward(self, x):
        return self.mixed(x).cumsum(dim=1)


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


def tables(bias=False):
    return torch.nn.Embedding(5, 4), torch.nn.Linear(4, 5, bias=bias)


def tied_tables():
    table, head = tables()
    head.weight = table.weight
    return Pair(table, head)


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""

    def made(*attention, **changes):
        return dealt(kata.GPTModel(sizes(**changes), *attention))

    def after_a_seed(name):
        torch.manual_seed(5)
        return kata.GPTModel(sizes()).get_parameter(name).detach()

    def reached():
        model = made()
        model(IDS).square().sum().backward()
        return [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]

    def order(n_layers=3):
        model, blocks = noting(made(n_layers=n_layers))
        model(IDS)
        return [[tuple(x.flatten()[:2].tolist()) for x in block.read] for block in blocks]

    def head(drop_rate=0.0):
        model, blocks = noting(made(drop_rate=drop_rate))
        seen = model(IDS)
        return torch.allclose(seen, model.out_head(model.final_norm(blocks[-1].gave[-1])), atol=1e-5)

    def alike():
        torch.manual_seed(5)
        first, second = list(kata.GPTModel(sizes()).trf_blocks.children())
        return torch.equal(first.ff.layers[0].weight, second.ff.layers[0].weight)

    def outside(wrong):
        given = IDS.clone()
        given[1, 2] = wrong
        return tried(lambda: made()(given))

    def coarse():
        model = made().double()
        with torch.no_grad():
            first = model(IDS)
            model.final_norm.shift.add_(1e-10)
            return torch.equal(model(IDS), first)

    def twice():
        model = made()
        first = model(IDS[:, :2])
        return first, tried(lambda: model(IDS))

    def unchanged():
        given = IDS.clone()
        tried(lambda: made()(given))
        return torch.equal(given, IDS)

    def still_apart():
        model = Pair(*tables())
        kata.count_parameters(model, tied=True)
        return model.out_head.weight is not model.tok_emb.weight

    def elsewhere():
        model = made()
        with Moved(model, IDS):
            return model(IDS)

    return {
        "parameters": lambda: sorted(name for name, _ in made().named_parameters()),
        "logits": lambda: made()(IDS),
        "logits of four blocks": lambda: made(n_layers=4)(IDS),
        "read by the first block": lambda: read_by_the_first(made(), IDS),
        "order": order,
        "the head": head,
        "without gradient": reached,
        "dropped": lambda: dropping(kata.GPTModel, 0.25),
        "the head while training": lambda: head(drop_rate=0.5),
        "eval": lambda: made(drop_rate=0.25).eval()(IDS),
        "blocks begin alike": alike,
        "other attention": lambda: [type(block.att).__name__ for block in made(Summing).trf_blocks],
        "tok_emb after a seed": lambda: after_a_seed("tok_emb.weight"),
        "head after a seed": lambda: after_a_seed("out_head.weight"),
        "float64": coarse,
        "bfloat16": lambda: str(made().bfloat16()(IDS).dtype),
        "int32": lambda: tried(lambda: made()(IDS.int())),
        "7 tokens": lambda: tried(lambda: made()(IDS.repeat(1, 2)[:, :7]), 7),
        "8 tokens": lambda: tried(lambda: made(Summing)(IDS.repeat(1, 2)[:, :8]), 7),
        "id -1": lambda: outside(-1),
        "id 11": lambda: outside(11),
        "elsewhere": lambda: tried(elsewhere),
        "twice": twice,
        "unchanged": unchanged,
        "kept": lambda: probes.kept(made, IDS),
        "counted": lambda: kata.count_parameters(torch.nn.Linear(3, 4)),
        "frozen": lambda: kata.count_parameters(torch.nn.Linear(3, 4).requires_grad_(False)),
        "buffers": lambda: kata.count_parameters(torch.nn.BatchNorm1d(4)),
        "tied": lambda: kata.count_parameters(Pair(*tables(bias=True)), tied=True),
        "tied model": lambda: kata.count_parameters(made(), tied=True),
        "tied, unchanged": still_apart,
        "shared": lambda: kata.count_parameters(tied_tables()),
        "shared and tied": lambda: kata.count_parameters(tied_tables(), tied=True),
        "nothing to tie": lambda: tried(lambda: kata.count_parameters(Pair(), tied=True)),
    }


@clause("parts")
def test_the_parameters_are_those_of_the_parts():
    expected = {"tok_emb.weight": (11, 6), "pos_emb.weight": (7, 6)}
    block = {name: tuple(value.shape) for name, value in TransformerBlock(sizes()).named_parameters()}
    for place in range(2):
        expected |= {f"trf_blocks.{place}.{name}": shape for name, shape in block.items()}
    expected |= {"final_norm.scale": (6,), "final_norm.shift": (6,), "out_head.weight": (11, 6)}
    named = GPTModel(sizes()).named_parameters(remove_duplicate=False)  # out_head may be tied to tok_emb
    seen = {name: tuple(value.shape) for name, value in named}
    because = "the parameters and their shapes, with vocab_size=11, context_length=7, emb_dim=6, n_layers=2"
    same(seen, expected, because)


@clause("parts")
def test_each_block_has_parameters_of_its_own():
    blocks = GPTModel(sizes(n_layers=3)).trf_blocks
    different = len({id(block.norm1.scale) for block in blocks})
    assert different == 3, f"n_layers=3, but there are {different} different blocks: [block] * n repeats one"


@clause("example")
def test_four_zero_at_the_position_one_nine_scores_minus_one_one_minus_four():
    model = GPTModel(sizes(vocab_size=3, context_length=1, emb_dim=2, n_heads=1, n_layers=1))
    model.trf_blocks = torch.nn.Sequential(torch.nn.Identity())
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [4.0, 0.0]])
    with torch.no_grad():
        for table in (model.tok_emb, model.out_head):
            table.weight.copy_(rows)
        model.pos_emb.weight.copy_(torch.tensor([[1.0, 9.0]]))
    because = "(4, 0) plus (1, 9) is (5, 9), normalized (-1, 1); its products with (1, 0), (0, 1), (4, 0) are -1, 1, -4"
    close(model(torch.tensor([[2]])), torch.tensor([[[-1.0, 1.0, -4.0]]]), because)


@clause("embeddings")
@pytest.mark.parametrize("tokens", [1, 3, 5])
def test_the_blocks_read_the_sum_of_the_row_of_the_token_and_that_of_the_position(tokens):
    model, given = dealt(GPTModel(sizes())), IDS[:, :tokens]
    model(IDS)  # an earlier text changes nothing
    because = f"{tokens} tokens; the first block should read tok_emb of each id plus pos_emb of the positions 0, 1, ..."
    close(read_by_the_first(model, given), embedded(model, given), because)


@clause("in-order")
@pytest.mark.parametrize("n_layers", [1, 2, 5])
def test_each_block_reads_what_the_one_before_gave(n_layers):
    model, blocks = noting(dealt(GPTModel(sizes(n_layers=n_layers))))
    model(IDS)
    calls = [len(block.read) for block in blocks]
    assert calls == [1] * n_layers, f"n_layers={n_layers}; the blocks were called {calls} times, expected once each"
    for place in range(1, n_layers):
        because = f"block {place} of {n_layers} (the first is block 0) should read what block {place - 1} gave"
        close(blocks[place].read[0], blocks[place - 1].gave[0], because)


@clause("logits")
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_the_logits_are_the_head_of_the_normalized_output_of_the_last_block(training):
    model, blocks = noting(dealt(GPTModel(sizes())).train(training))
    seen = model(IDS)
    assert blocks[-1].gave, "the model was called, but its last block was not"
    because = "expected out_head of final_norm of what the last block gave, for every position"
    close(seen, model.out_head(model.final_norm(blocks[-1].gave[0])), because)


@clause("gradients")
def test_gradients_reach_all_parameters():
    model = dealt(GPTModel(sizes()))
    laws.gradients_reach(model(IDS), dict(model.named_parameters()))


@clause("dropout")
def test_the_sum_is_dropped_and_scaled_up():
    """Of 672 draws, a share of 0.1 above or below the mean is 6 standard deviations."""
    torch.manual_seed(0)
    seen = dropping(GPTModel, drop_rate=0.25)
    levels = [round(level, 4) for level in seen.unique().tolist()]
    because = "drop_rate is 0.25 and the rows add up to ones: the first block should read 0 or 1 / 0.75 everywhere"
    assert levels == [0, 1.3333], f"{because}; it reads {levels[:6]}"
    share = (seen == 0).float().mean().item()
    assert abs(share - 0.25) < 0.1, f"drop_rate is 0.25, but {share:.0%} of the sum was dropped"


@clause("dropout")
@pytest.mark.parametrize(("axis", "what"), [(0, "texts"), (1, "tokens"), (2, "features")])
def test_every_number_is_dropped_on_its_own(axis, what):
    torch.manual_seed(0)
    dropped = dropping(GPTModel, drop_rate=0.5) == 0
    different, number = dropped.unique(dim=axis).shape[axis], dropped.shape[axis]
    assert different == number, f"of {number} {what}, only {different} differ in which numbers are dropped"


@clause("dropout")
def test_after_the_blocks_nothing_is_dropped():
    torch.manual_seed(0)
    model, blocks = noting(dealt(GPTModel(sizes(drop_rate=0.5))).train())
    because = "in training mode with drop_rate 0.5, expected out_head of final_norm of what the last block gave"
    close(model(IDS), model.out_head(model.final_norm(blocks[-1].gave[0])), because)


@clause("eval")
def test_eval_mode_drops_nothing():
    torch.manual_seed(0)
    model = dealt(GPTModel(sizes(drop_rate=0.5))).eval()
    because = "in eval mode, drop_rate 0.5 changes what the blocks read"
    close(read_by_the_first(model, IDS), embedded(model, IDS), because)


@clause("counted")
def test_every_number_of_every_parameter_is_counted():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2, bias=False))
    same(count_parameters(model), 24, "a Linear from 3 to 4 has 12 + 4 numbers, one from 4 to 2 without bias has 8")
    model[0].requires_grad_(False)
    same(count_parameters(model), 24, "the first of two layers is frozen; its 16 numbers still count, with 8 others")


@clause("counted")
def test_buffers_are_not_counted():
    same(count_parameters(torch.nn.BatchNorm1d(4)), 8, "4 scales and 4 shifts; means and variances are buffers")


@clause("tied")
def test_the_weight_of_a_tied_head_is_not_counted():
    model = Pair(*tables(bias=True))
    same(count_parameters(model), 48, "a table of 20, a head of 20 and a bias of 5, and 3 more")
    same(count_parameters(model, tied=True), 28, "tied: a table of 20, a bias of 5, and 3 more")
    assert model.out_head.weight is not model.tok_emb.weight, "the model itself was tied; it should only be counted"


@clause("attention")
def test_every_block_is_created_with_the_given_attention():
    asked = []

    def attention(**kwargs):
        asked.append(kwargs)
        return Summing(**kwargs)

    model = GPTModel(sizes(n_layers=3, drop_rate=0.25, qkv_bias=True), attention)
    kinds = [type(block.att).__name__ for block in model.trf_blocks]
    same(kinds, ["Summing"] * 3, "the classes of att in three blocks, where the argument attention gives a Summing")
    expected = {"d_in": 6, "d_out": 6, "context_length": 7, "dropout": 0.25, "num_heads": 3, "qkv_bias": True}
    same(asked, [expected] * 3, "the keywords with which attention was called, once for each of three blocks")


@clause("seed")
def test_after_a_seed_the_numbers_are_those_of_the_parts_created_in_order():
    torch.manual_seed(123)
    twins = {"tok_emb": torch.nn.Embedding(11, 6), "pos_emb": torch.nn.Embedding(7, 6)}
    twins |= {f"trf_blocks.{place}": TransformerBlock(sizes()) for place in range(2)}
    twins |= {"out_head": torch.nn.Linear(6, 11, bias=False)}
    torch.manual_seed(123)
    model = GPTModel(sizes())
    for part, twin in twins.items():
        for name, expected in twin.named_parameters():
            because = f"{part}.{name} after a seed, where the parts are created in the order of the specification"
            close(model.get_parameter(f"{part}.{name}"), expected, because)


@clause("initial-loss")
@pytest.mark.parametrize("vocab_size", [20, 500])
def test_a_new_model_has_the_loss_of_a_guess(vocab_size):
    torch.manual_seed(0)
    model = GPTModel(sizes(vocab_size=vocab_size, context_length=16, emb_dim=24, n_heads=4))
    token_ids, targets = torch.randint(vocab_size, (2, 16, 16))
    loss = cross_entropy(model(token_ids).flatten(0, 1), targets.flatten()).item()
    guess = math.log(vocab_size)
    assert abs(loss - guess) < 0.5, f"vocab_size={vocab_size}: the loss is {loss:.2f}, but a guess has {guess:.2f}"


@clause("length")
@pytest.mark.parametrize("attention", [MultiHeadAttention, Summing], ids=["usual", "without-limit"])
def test_too_many_tokens_are_refused(attention):
    with refuses(ValueError, 14, 13):
        GPTModel(sizes(context_length=13), attention)(torch.ones(1, 14, dtype=torch.int64))


@clause("length")
def test_context_length_tokens_fit():
    seen = GPTModel(sizes(context_length=13))(torch.ones(1, 13, dtype=torch.int64))
    assert seen.shape == (1, 13, 11), f"13 tokens with context_length=13 gave logits of shape {tuple(seen.shape)}"


@clause("range")
@pytest.mark.parametrize("wrong", [-1, 11])
def test_an_id_outside_the_vocabulary_is_refused(wrong):
    with refuses(IndexError):
        GPTModel(sizes())(IDS.where(IDS != 5, wrong))


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_the_logits_have_the_dtype_of_the_parameters(dtype):
    model = dealt(GPTModel(sizes()).to(dtype))
    expected = by_parts(copy.deepcopy(model).double(), IDS).to(dtype)
    loose = {"rtol": 0.2, "atol": 0.2} if dtype == torch.bfloat16 else {}
    close(model(IDS), expected, f"the parameters are {dtype}", **loose)


@clause("int32")
def test_ids_may_be_int32():
    model = dealt(GPTModel(sizes()))
    try:
        seen = model(IDS.int())
    except (RuntimeError, IndexError) as error:
        pytest.fail(f"nn.Embedding takes ids of int32, but here the call ended: {error}")
    close(seen, model(IDS), "the same ids as int32 and as int64 give other logits")


@clause("device")
def test_a_call_creates_everything_on_the_device_of_the_ids():
    laws.works_where_it_is_moved(dealt(GPTModel(sizes())), IDS)


@clause("pure")
def test_a_call_leaves_the_ids_alone():
    laws.leaves_its_inputs_alone(dealt(GPTModel(sizes())), IDS)


@clause("pure")
def test_a_call_leaves_the_model_as_it_was():
    model = dealt(GPTModel(sizes()))
    model(torch.tensor([[4, 2]]))
    first = model(IDS)
    close(first, by_parts(model, IDS), "one text of 2 tokens, then two texts of 5: the first call changed the second")
    try:
        close(copy.deepcopy(model)(IDS), first, "after a call, a copy of the model gives other logits")
    except RuntimeError:
        pytest.fail("after a call the model cannot be copied: it keeps a result of that call and its graph")


@clause("shared")
def test_a_shared_parameter_is_counted_once():
    layer, twin = torch.nn.Linear(3, 4, bias=False), torch.nn.Linear(3, 4, bias=False)
    twin.weight = layer.weight
    same(count_parameters(torch.nn.ModuleList([layer, twin])), 12, "two layers share one weight of 12 numbers")


@clause("shared")
@pytest.mark.parametrize("tied", [False, True])
def test_a_head_that_is_tied_already_is_not_subtracted_again(tied):
    because = f"tied={tied}; the weight of the head is that of the table already: 20 numbers, and 3 more"
    same(count_parameters(tied_tables(), tied=tied), 23, because)


@clause("untied")
@pytest.mark.parametrize("missing", ["tok_emb", "out_head"])
def test_a_model_without_the_two_weights_is_refused(missing):
    model = Pair(*tables())
    setattr(model, missing, torch.nn.Identity())
    with refuses(ValueError, missing):
        count_parameters(model, tied=True)


@pytest.mark.slow
@clause("gpt2-small")
def test_gpt2_small_has_163_million_parameters_or_124():
    config = GPTConfig(
        vocab_size=50_257, context_length=1_024, emb_dim=768, n_heads=12, n_layers=12, drop_rate=0.1, qkv_bias=False
    )
    with torch.device("meta"):
        model = GPTModel(config, Projecting)
    same(count_parameters(model), 163_009_536, "GPT-2 small")
    same(count_parameters(model, tied=True), 124_412_160, "GPT-2 small, counted as tied")
