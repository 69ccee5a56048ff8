"""Embeddings, clause by clause. The why: docs/text/embeddings.md."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from katas.text.embeddings import InputEmbedding, TokenEmbedding
from tests.support import clause, close, dealt, numbers, refuses

ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


@st.composite
def tables(draw):
    """A table and ids for it, with repeats: Hypothesis draws the sizes and the ids."""
    vocab_size, emb_dim, batch, tokens = (draw(st.integers(1, 5)) for _ in range(4))
    ids = draw(st.lists(st.integers(0, vocab_size - 1), min_size=batch * tokens, max_size=batch * tokens), label="ids")
    return dealt(TokenEmbedding(vocab_size, emb_dim)), torch.tensor(ids).reshape(batch, tokens)


@st.composite
def cases(draw):
    """An InputEmbedding and ids for it."""
    vocab_size, emb_dim, batch, tokens = (draw(st.integers(1, 5)) for _ in range(4))
    context_length = draw(st.integers(tokens, 8), label="context_length")
    ids = draw(st.lists(st.integers(0, vocab_size - 1), min_size=batch * tokens, max_size=batch * tokens), label="ids")
    return dealt(InputEmbedding(vocab_size, context_length, emb_dim)), torch.tensor(ids).reshape(batch, tokens)


def parameter(module, name):
    """A parameter by its name, which every test needs."""
    found = dict(module.named_parameters())
    assert name in found, f"there is no parameter {name}; there are {list(found)}"
    return found[name]


def with_rows(module, **rows):
    """The module with its tables set; `weight` or `tok_emb` and `pos_emb`, each a list of rows."""
    with torch.no_grad():
        for name, wanted in rows.items():
            weight, wanted = parameter(module, name if name == "weight" else f"{name}.weight"), torch.tensor(wanted)
            shape = tuple(weight.shape)
            assert shape == tuple(wanted.shape), f"{name} has shape {shape}, expected {tuple(wanted.shape)}"
            weight.copy_(wanted)
    return module


def of_torch(module, ids):
    """What PyTorch's own embedding makes of the same two tables."""
    positions = torch.arange(ids.shape[1])
    tok, pos = parameter(module, "tok_emb.weight"), parameter(module, "pos_emb.weight")
    return functional.embedding(ids, tok) + functional.embedding(positions, pos)


def on_meta(module, ids):
    """The output on the meta device, where tensors have shapes and no values."""
    try:
        return module.to("meta")(ids.to("meta"))
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error) and "is not on the expected device" not in str(error):
            raise
        pytest.fail(f"on the meta device, where ids have a shape and no values, the call ended: {error}")


class MadeOn(TorchFunctionMode):
    """Notes the devices of all tensors that torch's functions return."""

    def __init__(self):
        super().__init__()
        self.devices = {}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.devices[result.device.type] = getattr(function, "__name__", str(function))
        return result


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""
    ids = torch.tensor([[3, 0, 6, 3], [1, 1, 5, 2]])  # of a vocabulary of 7

    def table():
        return dealt(kata.TokenEmbedding(7, 3))

    def made():
        return dealt(kata.InputEmbedding(7, 5, 3))

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def fresh():
        torch.manual_seed(5)
        seen = kata.TokenEmbedding(7, 3)
        return list(seen.named_parameters()), list(seen.state_dict()), [p.requires_grad for p in seen.parameters()]

    def fresh_both():
        torch.manual_seed(5)
        seen = kata.InputEmbedding(7, 5, 3)
        return [(name, value.detach()) for name, value in seen.state_dict().items()], len(list(seen.parameters()))

    def gradients(module):
        module(ids).square().sum().backward()
        return [value.grad for value in module.parameters()]

    def axes():
        shapes = [(), (4,), (2, 1), (1, 1, 3), (0,), (2, 0)]
        return [tried(lambda shape=shape: table()(torch.ones(shape, dtype=torch.int64))) for shape in shapes]

    def wide():
        large, seen = kata.TokenEmbedding(40_000, 1), torch.tensor([[1, 300, 39_999]])
        with torch.no_grad():
            large.weight.copy_(torch.arange(40_000)[:, None])  # dealing so many would take too long
        return [tried(lambda dtype=dtype: large(seen.to(dtype))) for dtype in (torch.int32, torch.int64)]

    def refused(wrong, *places):
        given = ids.clone()
        for place in places:
            given[place] = wrong
        return tried(lambda: table()(given), wrong, 7), given  # the caller's ids may have been overwritten

    def flow():
        seen = table()
        return tried(lambda: (seen(ids).requires_grad, seen(ids))), [value.requires_grad for value in seen.parameters()]

    def lengths():
        """Also six sequences, and the meta device, where no position is refused by its table."""
        for tokens in (1, 5, 6, 9):
            given = ids.repeat(3, 3)[:, :tokens]
            yield tried(lambda given=given: made()(given), given.shape[1], 5)
            yield tried(lambda given=given: made().eval()(given[:2]), given.shape[1], 5)
            yield tried(lambda given=given: tuple(made().to("meta")(given.to("meta")).shape), given.shape[1], 5)

    def dtypes(module):
        return [tried(lambda dtype=dtype: module().to(dtype)(ids)) for dtype in (torch.float64, torch.bfloat16)]

    def precision():
        seen = made().double()
        with torch.no_grad():
            seen.tok_emb.weight.div_(3), seen.pos_emb.weight.div_(3)
        return [torch.allclose(seen(ids), of_torch(seen, ids), rtol=bar, atol=bar) for bar in (1e-4, 1e-9)]

    def looked_at():
        """Whether a call on the meta device ends because there are no values."""
        try:
            return tuple(table().to("meta")(ids.to("meta")).shape)
        except Exception as error:
            return "meta" in str(error)

    def moved():
        module, spy = made().to("meta"), MadeOn()
        with spy:
            came = tried(lambda: module(ids.to("meta")).device.type)
        return came, sorted(spy.devices), tried(lambda: made()(ids))

    return {
        "table": lambda: table()(ids),
        "numbers": lambda: made()(ids),
        "short": lambda: made()(ids[:, :2]),
        "full": lambda: made()(ids.repeat(1, 2)[:, :5]),
        "row": lambda: with_rows(kata.TokenEmbedding(3, 2), weight=ROWS)(torch.tensor([[2, 0]])),
        "fresh": fresh,
        "fresh both": fresh_both,
        "gradients": lambda: [gradients(table()), gradients(made())],
        "axes": axes,
        "wide": wide,
        "edges": lambda: [refused(id, (1, 2)) for id in (0, 6)],
        "refused": lambda: [refused(id, place) for id in (-1, -7, -8, 7, 8, 97) for place in ((0, 0), (1, 3))],
        "refused by both": lambda: [tried(lambda m=m: m(ids - 9), -6, 7) for m in (table(), made())],
        "all refused": lambda: [refused(id, (0, 0), (1, 1)) for id in (-9, 9)],
        "flow": flow,
        "lengths": lambda: list(lengths()),
        "dtypes": lambda: [dtypes(table), dtypes(made)],
        "precision": precision,
        "looked at": looked_at,
        "device": moved,
    }


@clause("weight")
def test_the_table_is_all_that_is_learned_or_saved():
    embedding = TokenEmbedding(7, 3)
    seen = {name: tuple(value.shape) for name, value in embedding.named_parameters()}
    assert seen == {"weight": (7, 3)}, f"vocab_size=7, emb_dim=3: the parameters are {seen}, expected weight (7, 3)"
    assert embedding.weight.requires_grad, "weight is frozen: no optimizer would move it"
    saved = list(embedding.state_dict())
    assert saved == ["weight"], f"the state dict holds {saved}, expected weight alone"


@clause("weight")
@pytest.mark.parametrize(("vocab_size", "emb_dim"), [(7, 3), (3, 40)])
def test_a_new_table_holds_the_numbers_of_nn_embedding(vocab_size, emb_dim):
    torch.manual_seed(5)
    expected = torch.nn.Embedding(vocab_size, emb_dim).weight
    torch.manual_seed(5)
    seen = parameter(TokenEmbedding(vocab_size, emb_dim), "weight")
    because = "after the same seed nn.Embedding has other numbers: it draws each from a normal distribution, once"
    close(seen, expected, because)


@clause("row")
def test_each_id_takes_its_row():
    embedding = with_rows(TokenEmbedding(3, 2), weight=ROWS)
    seen = embedding(torch.tensor([[2, 0]]))
    because = f"the rows are (1, 2), (3, 4), (5, 6), and ids 2, 0 became {seen.tolist()}"
    close(seen, torch.tensor([[[5.0, 6.0], [1.0, 2.0]]]), because)


@clause("row")
def test_weights_that_are_loaded_count():
    embedding, other = TokenEmbedding(3, 2), with_rows(TokenEmbedding(3, 2), weight=ROWS)
    parameter(embedding, "weight")
    embedding.load_state_dict(other.state_dict())
    seen = embedding(torch.tensor([[1, 1]]))
    close(seen, torch.tensor([[[3.0, 4.0], [3.0, 4.0]]]), "weight was loaded after the module was made, and not read")


@clause("one-hot")
@given(tables())
def test_a_lookup_is_a_product_with_one_hot_vectors(case):
    embedding, ids = case
    weight = parameter(embedding, "weight")
    one_hot = (ids[..., None] == torch.arange(len(weight))).float()  # (batch, tokens, vocab_size)
    because = f"ids {ids.tolist()}, as one-hot vectors times weight, give other numbers"
    close(embedding(ids), one_hot @ weight, because)


@clause("ids")
@pytest.mark.parametrize("shape", [(), (4,), (3, 2), (2, 1), (1, 1, 3), (0,), (2, 0)], ids=str)
def test_the_axes_of_the_ids_are_kept(shape):
    embedding = dealt(TokenEmbedding(7, 5))
    weight, ids = parameter(embedding, "weight"), torch.full(shape, 4)
    expected = torch.empty(*shape, 5).copy_(weight[4])
    try:
        seen = embedding(ids)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        pytest.fail(f"ids of shape {shape} ended in {type(error).__name__}: {error}")
    close(seen, expected, f"ids of shape {shape}, with an emb_dim of 5")


@clause("ids")
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=lambda dtype: str(dtype)[6:])
def test_both_kinds_of_ids_are_read_in_full(dtype):
    embedding, ids = dealt(TokenEmbedding(50_257, 1)), [0, 255, 256, 32_768, 50_256]
    expected = torch.stack([parameter(embedding, "weight")[token_id] for token_id in ids])
    try:
        seen = embedding(torch.tensor(ids, dtype=dtype))
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        pytest.fail(f"{dtype} ids, up to 50 256, ended in {type(error).__name__}: {error}")
    close(seen, expected, f"{dtype} ids, up to 50 256 as GPT-2 has them, took other rows")


@clause("gradients")
@given(tables())
def test_a_row_learns_as_often_as_it_is_used(case):
    embedding, ids = case
    weight = parameter(embedding, "weight")
    seen = embedding(ids)
    assert seen.requires_grad, "no gradient flows back from the result: it was detached, or weight is not what was read"
    towards = numbers(*seen.shape, seed="towards")
    (gradient,) = torch.autograd.grad(seen, weight, towards, allow_unused=True)
    assert gradient is not None, "no gradient reaches weight: the result comes from somewhere else"
    expected = torch.zeros_like(weight)
    for token_id, coming in zip(ids.flatten().tolist(), towards.flatten(0, 1), strict=True):
        expected[token_id] += coming
    because = f"ids {ids.tolist()}: a row gets the sum of what comes from each of its places, an unused row gets 0"
    close(gradient, expected, because)


@clause("range")
@pytest.mark.parametrize("place", [(0, 0), (1, 2)], ids=["first", "last"])
@pytest.mark.parametrize("wrong", [-1, -13, -14, 13, 14, 1_000_000])
def test_an_id_without_a_row_is_refused(wrong, place):
    embedding, ids = dealt(TokenEmbedding(13, 3)), torch.tensor([[4, 0, 12], [5, 5, 7]])
    refused = ids.clone()
    refused[place] = wrong
    with refuses(ValueError, wrong, 13):
        embedding(refused)
    assert embedding(ids).any(), f"vocab_size is 13, and ids {ids.tolist()} became zeros"


@clause("range")
@pytest.mark.parametrize("wrong", [-1, 13])
def test_it_is_refused_in_the_input_of_a_model_too(wrong):
    embedding = dealt(InputEmbedding(13, 29, 3))
    with refuses(ValueError, wrong, 13):
        embedding(torch.tensor([[4, wrong], [5, 5]]))
    assert embedding(torch.tensor([[4, 12], [5, 5]])).any(), "vocab_size is 13, and ids 4, 12 and 5, 5 became zeros"


@clause("range")
def test_the_first_id_and_the_last_are_fine():
    embedding, ids = dealt(TokenEmbedding(13, 3)), torch.tensor([[0, 12, 0]])
    weight = parameter(embedding, "weight")
    try:
        seen = embedding(ids)
    except (IndexError, ValueError) as error:
        pytest.fail(f"ids 0 and 12 were refused, and vocab_size is 13: {error}")
    close(seen, torch.stack([weight[0], weight[12], weight[0]])[None], "vocab_size is 13: ids 0, 12, 0 took other rows")


@clause("parts")
def test_two_tables_are_all_that_is_saved():
    embedding = InputEmbedding(7, 5, 3)
    seen = {name: tuple(value.shape) for name, value in embedding.state_dict().items()}
    expected = {"tok_emb.weight": (7, 3), "pos_emb.weight": (5, 3)}
    assert seen == expected, f"vocab_size=7, context_length=5, emb_dim=3: saved is {seen}, expected {expected}"
    learned = [name for name, _ in embedding.named_parameters()]
    assert learned == list(expected), f"the parameters are {learned}, expected {list(expected)}"


@clause("parts")
def test_the_tables_are_made_in_the_books_order():
    torch.manual_seed(5)
    in_turn = {"tok_emb": torch.nn.Embedding(7, 3).weight, "pos_emb": torch.nn.Embedding(5, 3).weight}
    torch.manual_seed(5)
    embedding = InputEmbedding(7, 5, 3)
    for name, expected in in_turn.items():
        because = f"after the same seed, {name} differs from an nn.Embedding made in its turn: tokens, then positions"
        close(parameter(embedding, f"{name}.weight"), expected, because)


@clause("sum")
def test_a_token_and_its_position_are_added():
    embedding = with_rows(InputEmbedding(3, 2, 2), tok_emb=ROWS, pos_emb=[[10.0, 0.0], [20.0, 0.0]])
    seen = embedding(torch.tensor([[2, 0]]))
    because = f"token rows (5, 6), (1, 2) and position rows (10, 0), (20, 0) became {seen.tolist()}"
    close(seen, torch.tensor([[[15.0, 6.0], [21.0, 2.0]]]), because)


@clause("places")
@given(st.integers(2, 6), st.data())
def test_the_same_token_differs_by_its_position(tokens, data):
    embedding = dealt(InputEmbedding(4, 6, 3))
    positions = parameter(embedding, "pos_emb.weight")
    here, there = (data.draw(st.integers(0, tokens - 1), label=label) for label in ("here", "there"))
    seen = embedding(torch.full((2, tokens), 3))
    because = f"one token stands everywhere; its vectors at {here} and {there} do not differ as these positions do"
    close(seen[:, here] - seen[:, there], (positions[here] - positions[there]).expand(2, 3), because)
    assert here == there or not torch.equal(seen[:, here], seen[:, there]), f"positions {here} and {there} are the same"


@clause("shorter")
@given(cases(), st.data())
def test_a_beginning_comes_out_as_the_beginning(case, data):
    embedding, ids = case
    tokens = data.draw(st.integers(0, ids.shape[1]), label="tokens")
    because = f"the first {tokens} of {ids.shape[1]} tokens got other vectors when alone: they stand at 0, 1, 2, ..."
    whole = embedding(ids)
    close(embedding(ids[:, :tokens]), whole[:, :tokens], because)
    assert whole.any(), "every vector is zero"


@clause("rows")
@given(cases(), st.data())
def test_each_sequence_comes_out_as_it_would_alone(case, data):
    embedding, ids = case
    row = data.draw(st.integers(0, len(ids) - 1), label="row")
    together, alone = embedding(ids), embedding(ids[row : row + 1])
    because = f"row {row} of {len(ids)} got other vectors than it gets alone: positions begin at 0 in every row"
    close(together[row : row + 1], alone, because)
    assert together.any(), "every vector is zero"


@clause("agrees")
@given(cases())
def test_agrees_with_two_of_torch(case):
    embedding, ids = case
    seen, expected = embedding(ids), of_torch(embedding, ids)
    close(seen, expected, "with the same weights, two nn.Embedding give other numbers")
    towards = numbers(*seen.shape, seed="towards")
    leaves = dict(embedding.named_parameters())
    assert seen.requires_grad, "no gradient flows back from the output: it was detached"
    mine = torch.autograd.grad(seen, list(leaves.values()), towards, allow_unused=True)
    theirs = torch.autograd.grad(expected, list(leaves.values()), towards)
    for name, gradient, right in zip(leaves, mine, theirs, strict=True):
        assert gradient is not None, f"no gradient reaches {name}: it was detached, or something else was read"
        close(gradient, right, f"the gradient of {name} is not the one that two nn.Embedding give")


@clause("length")
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(("tokens", "context_length"), [(12, 11), (23, 11), (7, 1)])
def test_too_many_tokens_are_refused(tokens, context_length, mode):
    embedding = dealt(InputEmbedding(50, context_length, 3)).train(mode == "train")
    with refuses(ValueError, tokens, context_length):
        embedding(torch.full((2, tokens), 40))
    assert embedding(torch.full((2, 1), 40)).any(), "a text of one token became zeros"


@clause("length")
@pytest.mark.parametrize("tokens", [0, 1, 10, 11])
def test_any_length_that_fits_is_fine(tokens):
    embedding, ids = dealt(InputEmbedding(4, 11, 3)), torch.full((13, tokens), 2)
    try:
        seen = embedding(ids)
    except (IndexError, RuntimeError, ValueError) as error:
        pytest.fail(f"context_length is 11, yet 13 texts of {tokens} tokens ended in {type(error).__name__}: {error}")
    close(seen, of_torch(embedding, ids), f"context_length is 11, so {tokens} tokens fit, as they do in PyTorch")


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_that_of_the_weights(dtype):
    embedding, ids = InputEmbedding(7, 5, 3).to(dtype), torch.tensor([[3, 0, 6, 3], [1, 1, 5, 2]])
    for name in ("tok_emb", "pos_emb"):
        weight = parameter(embedding, f"{name}.weight")
        with torch.no_grad():
            weight.copy_(numbers(*weight.shape, seed=name, dtype=torch.float64))
    close(embedding(ids), of_torch(embedding, ids), f"the weights are {dtype}, and in PyTorch so are the vectors")


@clause("device")
def test_the_output_is_where_the_weights_and_the_ids_are():
    seen = on_meta(InputEmbedding(7, 5, 3), torch.tensor([[3, 0, 6, 3]]))
    assert seen.device.type == "meta", f"module and ids are on the meta device, the output is on {seen.device}"
    assert seen.shape == (1, 4, 3), f"on the meta device the shape is {tuple(seen.shape)}, expected (1, 4, 3)"


@clause("device")
def test_nothing_is_made_on_another_device():
    embedding, ids, made = InputEmbedding(7, 5, 3).to("meta"), torch.tensor([[3, 0, 6, 3]]).to("meta"), MadeOn()
    with made:
        seen = on_meta(embedding, ids)
    assert seen.shape == (1, 4, 3), f"on the meta device the shape is {tuple(seen.shape)}, expected (1, 4, 3)"
    astray = {device: name for device, name in made.devices.items() if device != "meta"}
    assert not astray, (
        f"module and ids are on the meta device, yet these were made elsewhere (device: by what): {astray}"
    )
