"""Embeddings, clause by clause. The why: docs/text/embeddings.md."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from katas.text.embeddings import InputEmbedding, TokenEmbedding
from tests.laws import gradients_agree
from tests.support import clause, close, dealt, refuses, said_first, same

ROWS, POSITIONS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[10.0, 0.0], [20.0, 0.0], [30.0, 0.0]]


@st.composite
def cases(draw):
    """A vocab_size, an emb_dim, and ids (batch, tokens) with repeats."""
    vocab_size, emb_dim, batch, tokens = (draw(st.integers(1, 5)) for _ in range(4))
    ids = draw(st.lists(st.integers(0, vocab_size - 1), min_size=batch * tokens, max_size=batch * tokens), label="ids")
    return vocab_size, emb_dim, torch.tensor(ids).reshape(batch, tokens)


def parameter(module, name):
    """A parameter by its name, which every test needs."""
    found = dict(module.named_parameters())
    assert name in found, f"there is no parameter {name}; there are {list(found)}"
    return found[name]


def with_rows(module, **tables):
    """The module with its parameters set: the name of each, with __ for a dot, and its rows."""
    for name, rows in tables.items():
        with torch.no_grad():
            parameter(module, name.replace("__", ".")).copy_(torch.tensor(rows))
    return module


def of_torch(module, ids):
    """What PyTorch's embedding gives for the same two tables."""
    tokens, positions = parameter(module, "tok_emb.weight"), parameter(module, "pos_emb.weight")
    return functional.embedding(ids, tokens) + functional.embedding(torch.arange(ids.shape[1]), positions)


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""
    ids = torch.tensor([[3, 0, 6, 3], [1, 1, 5, 2]])  # of a vocabulary of 7

    def table():
        return dealt(kata.TokenEmbedding(7, 3))

    def made():
        return dealt(kata.InputEmbedding(7, 5, 3))

    def parameters(module):
        return sorted((name, tuple(value.shape), value.requires_grad) for name, value in module.named_parameters())

    def after_a_seed(build):
        torch.manual_seed(5)
        return [value.detach() for value in build().parameters()]

    def gradients(module):
        seen = module(ids)
        if not seen.requires_grad:
            return "no gradient"
        seen.square().sum().backward()
        return [value.grad for value in module.parameters()]

    def refused(call):
        try:
            return call()
        except Exception as error:
            return type(error).__name__

    def on_another_device():
        module = made()
        with torch.device("meta"):
            return str(module(ids).device)

    def digits():
        module = with_rows(kata.TokenEmbedding(2, 1).double(), weight=[[1.0], [1.0]])
        with torch.no_grad():
            module.weight[1] += 1e-9
        return bool(module(torch.tensor([0, 1])).diff(dim=0) > 0)

    return {
        "row": lambda: with_rows(kata.TokenEmbedding(3, 2), weight=ROWS)(torch.tensor([[2, 0]])),
        "table": lambda: table()(ids),
        "single id": lambda: table()(torch.tensor(4)),
        "axes of size 1": lambda: table()(torch.tensor([[[4]]])),
        "parameters": lambda: parameters(kata.TokenEmbedding(7, 3)),
        "gradient": lambda: gradients(table()),
        "full": lambda: refused(lambda: made()(ids.repeat(1, 2)[:, :5])),
        "shorter": lambda: made()(ids[:, :2]),
        "one sequence": lambda: made()(ids[1:]),
        "input parameters": lambda: parameters(kata.InputEmbedding(7, 5, 3)),
        "gradients": lambda: gradients(made()),
        "saved": lambda: len(kata.InputEmbedding(7, 5, 3).state_dict()),
        "seed": lambda: after_a_seed(lambda: kata.TokenEmbedding(7, 3)),
        "seed of both": lambda: after_a_seed(lambda: kata.InputEmbedding(7, 5, 3)),
        "int32": lambda: refused(lambda: table()(ids.int())),
        "id -1": lambda: refused(lambda: table()(ids - 1)),
        "id 7": lambda: refused(lambda: table()(ids + 1)),
        "id -1 of a model": lambda: refused(lambda: made()(ids - 1)),
        "6 tokens": lambda: refused(lambda: made()(ids.repeat(1, 2)[:, :6])),
        "6 sequences": lambda: refused(lambda: made()(ids.repeat(3, 1))),
        "default device": lambda: refused(on_another_device),
        "float64": lambda: str(table().double()(ids).dtype),
        "digits": digits,
    }


@clause("weight")
def test_weight_is_the_only_parameter():
    embedding = TokenEmbedding(7, 3)
    seen = {name: tuple(value.shape) for name, value in embedding.named_parameters()}
    same(seen, {"weight": (7, 3)}, "these are the parameters and their shapes, with vocab_size=7 and emb_dim=3")
    assert embedding.weight.requires_grad, "weight does not require a gradient, so it cannot be trained"


@clause("row")
def test_each_id_takes_its_row():
    seen = with_rows(TokenEmbedding(3, 2), weight=ROWS)(torch.tensor([[2, 0]]))
    because = f"the rows are (1, 2), (3, 4), (5, 6), and ids 2, 0 became {seen.tolist()}"
    close(seen, torch.tensor([[[5.0, 6.0], [1.0, 2.0]]]), because)


@clause("row")
@given(cases())
def test_a_lookup_is_a_product_with_one_hot_vectors(case):
    vocab_size, emb_dim, ids = case
    embedding = dealt(TokenEmbedding(vocab_size, emb_dim))
    one_hot = (ids[..., None] == torch.arange(vocab_size)).float()  # (batch, tokens, vocab_size)
    because = f"the one-hot vectors of the ids {ids.tolist()}, multiplied by weight, give another number"
    close(embedding(ids), one_hot @ parameter(embedding, "weight"), because)


@clause("shape")
@pytest.mark.parametrize("shape", [(4,), (3, 2), (2, 1), (1, 1, 3), ()], ids=str)
def test_the_axes_of_the_ids_are_kept(shape):
    embedding = dealt(TokenEmbedding(7, 5))
    expected = parameter(embedding, "weight")[4].expand(*shape, 5)
    close(embedding(torch.full(shape, 4)), expected, f"the ids have the shape {shape}, and emb_dim is 5")


@clause("gradients")
@given(cases())
def test_the_gradients_of_a_row_are_summed(case):
    vocab_size, emb_dim, ids = case
    embedding = dealt(TokenEmbedding(vocab_size, emb_dim))
    weight = parameter(embedding, "weight")
    gradients_agree(embedding(ids), functional.embedding(ids, weight), {"weight": weight}, "PyTorch's embedding")


@clause("tables")
def test_a_table_for_tokens_and_one_for_positions():
    seen = {name: tuple(value.shape) for name, value in InputEmbedding(7, 5, 3).named_parameters()}
    because = "these are the parameters and their shapes, with vocab_size=7, context_length=5 and emb_dim=3"
    same(seen, {"tok_emb.weight": (7, 3), "pos_emb.weight": (5, 3)}, because)


@clause("sum")
def test_cat_the_cat():
    embedding = with_rows(InputEmbedding(3, 3, 2), tok_emb__weight=ROWS, pos_emb__weight=POSITIONS)
    seen = embedding(torch.tensor([[2, 0, 2]]))
    because = (
        "the tokens' rows are (5, 6), (1, 2), (5, 6) and the positions' rows (10, 0), (20, 0), (30, 0); "
        f"the output is {seen.tolist()}"
    )
    close(seen, torch.tensor([[[15.0, 6.0], [21.0, 2.0], [35.0, 6.0]]]), because)


@clause("sum")
@given(cases())
def test_agrees_with_torch(case):
    vocab_size, emb_dim, ids = case
    embedding = dealt(InputEmbedding(vocab_size, ids.shape[1], emb_dim))
    because = f"with ids {ids.tolist()}, the sum of two nn.Embedding with your weights is another one"
    close(embedding(ids), of_torch(embedding, ids), because)


@clause("shorter")
@given(cases(), st.integers(1, 3))
def test_a_shorter_text_gets_the_first_positions(case, shorter_by):
    vocab_size, emb_dim, ids = case
    embedding = dealt(InputEmbedding(vocab_size, ids.shape[1] + shorter_by, emb_dim))
    because = f"{ids.shape[1]} tokens should get the first rows of pos_emb, which has {ids.shape[1] + shorter_by}"
    close(embedding(ids), of_torch(embedding, ids), because)


@clause("sum-gradients")
@given(cases())
def test_both_tables_get_their_gradients(case):
    vocab_size, emb_dim, ids = case
    embedding = dealt(InputEmbedding(vocab_size, ids.shape[1], emb_dim))
    leaves = {name: parameter(embedding, name) for name in ("tok_emb.weight", "pos_emb.weight")}
    gradients_agree(embedding(ids), of_torch(embedding, ids), leaves, "the sum of two nn.Embedding")


@clause("int32")
def test_int32_ids_are_read_in_full():
    embedding, ids = dealt(TokenEmbedding(40_000, 1)), torch.tensor([0, 255, 256, 32_768, 39_999])
    expected = functional.embedding(ids, parameter(embedding, "weight"))
    close(embedding(ids.int()), expected, f"the ids are {ids.tolist()}, in int32")


@clause("range")
@pytest.mark.parametrize("wrong", [-1, -13, 13, 1_000_000])
def test_an_id_without_a_row_is_refused(wrong):
    with refuses(ValueError, wrong, 13):
        dealt(TokenEmbedding(13, 3))(torch.tensor([[4, 0, 12], [5, wrong, 7]]))


@clause("range")
@pytest.mark.parametrize("wrong", [-1, 13])
def test_it_is_refused_in_the_input_of_a_model_too(wrong):
    with refuses(ValueError, wrong, 13):
        dealt(InputEmbedding(13, 29, 3))(torch.tensor([[4, wrong], [5, 5]]))


@clause("range")
def test_the_first_and_the_last_id_are_accepted():
    embedding = dealt(TokenEmbedding(13, 3))
    close(embedding(torch.tensor([0, 12])), parameter(embedding, "weight")[[0, -1]], "the ids 0 and 12 of 13 are valid")


@clause("seed")
def test_a_seed_gives_the_numbers_of_two_nn_embeddings():
    torch.manual_seed(5)
    expected = {"tok_emb": torch.nn.Embedding(7, 3).weight, "pos_emb": torch.nn.Embedding(5, 3).weight}
    torch.manual_seed(5)
    embedding = InputEmbedding(7, 5, 3)
    for name, weight in expected.items():
        because = f"after the same seed, {name} differs from an nn.Embedding created in this order: tokens, positions"
        close(parameter(embedding, f"{name}.weight"), weight, because)


@clause("state-dict")
def test_only_the_tables_are_saved():
    saved = sorted(InputEmbedding(7, 5, 3).state_dict())
    same(saved, ["pos_emb.weight", "tok_emb.weight"], "these are the names in the state dict")


@clause("too-long")
@pytest.mark.parametrize(("tokens", "context_length"), [(12, 11), (7, 1)])
def test_too_many_tokens_are_refused(tokens, context_length):
    with refuses(ValueError, tokens, context_length):
        dealt(InputEmbedding(50, context_length, 3))(torch.full((2, tokens), 40))


@clause("too-long")
def test_the_batch_does_not_count():
    embedding, ids = dealt(InputEmbedding(4, 11, 3)), torch.full((13, 11), 2)
    close(embedding(ids), of_torch(embedding, ids), "context_length is 11, so 13 sequences of 11 tokens fit")


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_the_dtype_is_that_of_the_weights(dtype):
    embedding, ids = dealt(InputEmbedding(7, 5, 3).to(dtype)), torch.tensor([[3, 0, 6, 3], [1, 1, 5, 2]])
    close(embedding(ids), of_torch(embedding, ids), f"the weights are {dtype}")


@clause("device")
def test_nothing_is_created_on_another_device():
    embedding, ids = dealt(InputEmbedding(7, 5, 3)), torch.tensor([[3, 0, 6, 3]])
    expected = of_torch(embedding, ids)
    try:
        with torch.device("meta"):  # what names no device is created there
            seen = embedding(ids)
    except Exception as error:
        pytest.fail(f"a tensor was created on the default device, not on that of the ids: {said_first(error)}")
    assert seen.device == ids.device, f"the ids are on {ids.device}, the output is on {seen.device}"
    close(seen, expected, "the default device is another one")
