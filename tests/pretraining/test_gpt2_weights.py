"""GPT-2's weights, clause by clause. The why: docs/pretraining/gpt2_weights.md."""

import contextlib
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from katas.gpt.config import GPTConfig
from katas.gpt.model import GPTModel
from katas.pretraining.gpt2_weights import load_book_state_dict, load_gpt2_weights
from tests.probes import tried
from tests.support import clause, close, dealt, numbers, refuses

SIZES = {"vocab_size": 11, "context_length": 6, "emb_dim": 4, "n_heads": 2, "n_layers": 2}
IDS = torch.tensor([[3, 0, 10, 7, 7], [1, 5, 2, 9, 4]])
LAYERS = {
    "ln_1": (4,),
    "attn.c_attn": (4, 12),
    "attn.c_proj": (4, 4),
    "ln_2": (4,),
    "mlp.c_fc": (4, 16),
    "mlp.c_proj": (16, 4),
}
LINEARS = {"att.out_proj": "attn.c_proj", "ff.layers.0": "mlp.c_fc", "ff.layers.2": "mlp.c_proj"}
TOO_FEW = ["wte.weight", "h.1.attn.c_attn.bias", "h.0.mlp.c_proj.weight", "ln_f.bias"]
TOO_MANY = ["h.2.ln_1.weight", "wte.bias", "h.0.mlp.bias"]
RESHAPED = {"wpe.weight": (9, 4), "ln_f.weight": (1,), "h.1.attn.c_attn.weight": (4, 8), "h.0.mlp.c_fc.weight": (16, 4)}


def gpt2(head=False, prefix="", masks=False, blocks=2, dtype=torch.float32):
    """The tensors of a GPT-2 in Hugging Face's layout; each has numbers of its own."""
    shapes = {"wte.weight": (11, 4), "wpe.weight": (6, 4), "ln_f.weight": (4,), "ln_f.bias": (4,)}
    for block in range(blocks):
        for name, shape in LAYERS.items():
            shapes |= {f"h.{block}.{name}.weight": shape, f"h.{block}.{name}.bias": shape[-1:]}
    tensors = {name: numbers(*shape, seed=name, dtype=torch.float64).to(dtype) for name, shape in shapes.items()}
    if masks:
        for block in range(blocks):
            tensors[f"h.{block}.attn.bias"] = torch.ones(1, 1, 9, 9, dtype=torch.uint8).tril()
            tensors[f"h.{block}.attn.masked_bias"] = torch.tensor(-10_000.0)
    found = {prefix + name: tensor for name, tensor in tensors.items()}
    return found | ({"lm_head.weight": numbers(11, 4, seed="lm_head").to(dtype)} if head else {})


def empty(tied=False, dtype=torch.float32, **sizes):
    """A GPTModel with other numbers than any GPT-2 of these tests, in eval mode."""
    model = dealt(GPTModel(GPTConfig(**{**SIZES, "drop_rate": 0.0, "qkv_bias": True, **sizes}))).eval()
    if tied:
        model.out_head.weight = model.tok_emb.weight
    return model.to(dtype)


def loaded(tensors, load=load_gpt2_weights, **how):
    """The parameters of a model that was given these tensors, by name."""
    model = empty(**how)
    load(model, tensors)
    return parameters_of(model)


def parameters_of(model):
    return {name: value.detach().clone() for name, value in model.named_parameters(remove_duplicate=False)}


def book(masks=False):
    """The state dict of the book's GPTModel."""
    state = {name: numbers(*value.shape, seed=f"book {name}") for name, value in parameters_of(empty()).items()}
    return state | ({f"trf_blocks.{block}.att.mask": torch.ones(6, 6).triu(1) for block in (0, 1)} if masks else {})


def logits_of_gpt2(tensors, ids, heads=2):
    """GPT-2 in PyTorch's own functions, with the tensors in Hugging Face's layout; (batch, tokens, vocab_size)."""

    def linear(name, x):
        return x @ tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def normed(name, x):
        return functional.layer_norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    x = tensors["wte.weight"][ids] + tensors["wpe.weight"][: ids.shape[1]]
    for block in range(2):
        fused = linear(f"h.{block}.attn.c_attn", normed(f"h.{block}.ln_1", x))  # (batch, tokens, 3 d)
        qkv = (one.unflatten(-1, (heads, -1)).transpose(1, 2) for one in fused.chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(*qkv, is_causal=True)  # (batch, heads, tokens, head_dim)
        x = x + linear(f"h.{block}.attn.c_proj", mixed.transpose(1, 2).flatten(2))
        inner = functional.gelu(linear(f"h.{block}.mlp.c_fc", normed(f"h.{block}.ln_2", x)), approximate="tanh")
        x = x + linear(f"h.{block}.mlp.c_proj", inner)
    return normed("ln_f", x) @ tensors.get("lm_head.weight", tensors["wte.weight"]).mT


def into_file(tensors, folder):
    path = Path(folder) / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def without(tensors, name):
    return {other: tensor for other, tensor in tensors.items() if other != name}


def misfits():
    """What does not fit, by what is wrong: the tensors, and what the message has to name."""
    found = {f"{name} missing": (without(gpt2(), name), [name]) for name in TOO_FEW}
    found |= {f"{name} added": ({**gpt2(), name: torch.ones(4)}, [name]) for name in TOO_MANY}
    for name, shape in RESHAPED.items():
        found[f"{name} {shape}"] = ({**gpt2(), name: torch.ones(shape)}, [name, shape])
    return found


def book_misfits():
    """The same for the state dict of the book."""
    name = "trf_blocks.0.ff.layers.0.weight"
    return {
        "missing": (without(book(), name), [name]),
        "unexpected": ({**book(), "trf_blocks.2.norm1.scale": torch.ones(4)}, ["trf_blocks.2.norm1.scale"]),
        "shape": ({**book(), name: torch.ones(1, 4)}, [name]),
    }


MISFITS = misfits()


def probe(kata):
    """Small cases on which the known mistakes differ: a part for each kind of parameter."""
    load, load_book = kata.load_gpt2_weights, kata.load_book_state_dict

    def filled(name, tensors=None, **how):
        return tried(lambda: loaded(gpt2() if tensors is None else tensors, load, **how)[name])

    def refused(load, case, **how):
        tensors, named = case
        model = empty(**how)
        try:
            load(model, tensors)
        except ValueError as error:
            return [str(value) in str(error) for value in named]
        except Exception as error:
            return type(error).__name__
        return "accepted"

    def changed(case):
        model = empty()
        before = parameters_of(model)
        with contextlib.suppress(Exception):
            load(model, case[0])
        return all(torch.equal(value, before[name]) for name, value in parameters_of(model).items())

    def same_parameters(load, tensors):
        model = empty()
        before = {name: id(value) for name, value in model.named_parameters()}
        load(model, tensors)
        return before == {name: id(value) for name, value in model.named_parameters()}

    def apart():
        tensors = gpt2()
        model = empty()
        load(model, tensors)
        before = parameters_of(model)["pos_emb.weight"]
        for tensor in tensors.values():
            tensor.mul_(0)
        return torch.equal(parameters_of(model)["pos_emb.weight"], before)

    def from_file(kind):
        with tempfile.TemporaryDirectory() as folder:
            return filled("pos_emb.weight", kind(into_file(gpt2(), folder)))

    def damaged():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.safetensors"
            path.write_bytes(b"no tensors")
            return refused(load, (path, [path]))

    block = "trf_blocks.1"
    names = ["norm1.scale", "norm2.shift", "att.W_query.weight", "att.W_key.weight", "att.W_value.weight"]
    names += ["att.W_query.bias", "att.W_key.bias", "att.W_value.bias"]
    names += [f"{layer}.{kind}" for layer in LINEARS for kind in ("weight", "bias")]
    whole = ["tok_emb.weight", "pos_emb.weight", "final_norm.scale", "final_norm.shift", "out_head.weight"]
    return {
        **{name: lambda name=name: filled(name) for name in whole + [f"{block}.{name}" for name in names]},
        "block 10": lambda: filled("trf_blocks.10.norm1.scale", gpt2(blocks=12), n_layers=12),
        "prefix": lambda: filled("pos_emb.weight", gpt2(prefix="transformer.")),
        "masks": lambda: filled("pos_emb.weight", gpt2(masks=True)),
        "a causal mask": lambda: filled("pos_emb.weight", {**gpt2(), "h.0.attn.bias": torch.ones(1, 1, 9, 9)}),
        "a masked bias": lambda: filled("pos_emb.weight", {**gpt2(), "h.0.attn.masked_bias": torch.tensor(-1e4)}),
        "masks with a prefix": lambda: filled("pos_emb.weight", gpt2(masks=True, prefix="transformer.")),
        "prefix and head": lambda: filled("out_head.weight", gpt2(head=True, prefix="transformer.")),
        "lm_head": lambda: filled("out_head.weight", gpt2(head=True)),
        "same parameters": lambda: same_parameters(load, gpt2()),
        "same parameters for the book": lambda: same_parameters(load_book, book()),
        "float64": lambda: filled("pos_emb.weight", gpt2(dtype=torch.float16), dtype=torch.float64),
        "precise": lambda: tried(
            lambda: torch.equal(
                loaded(gpt2(dtype=torch.float64), load, dtype=torch.float64)["final_norm.shift"],
                gpt2(dtype=torch.float64)["ln_f.bias"],
            )
        ),
        "apart": apart,
        "str and Path": lambda: [from_file(kind) for kind in (str, Path)],  # of both, so that one has to work
        "damaged file": damaged,
        **{label: lambda case=case: refused(load, case) for label, case in MISFITS.items()},
        "unchanged": lambda: changed(MISFITS["h.1.attn.c_attn.weight (4, 8)"]),
        "no biases": lambda: refused(load, (gpt2(), ["qkv_bias"]), qkv_bias=False),
        "book": lambda: tried(lambda: loaded(dict(reversed(book().items())), load_book)["final_norm.shift"]),
        "book's head": lambda: tried(lambda: loaded(book(), load_book)["out_head.weight"]),
        "book's masks": lambda: tried(lambda: loaded(book(masks=True), load_book)["pos_emb.weight"]),
        **{f"book, {label}": lambda case=case: refused(load_book, case) for label, case in book_misfits().items()},
    }


@clause("tables")
def test_the_tables_are_taken_as_they_are():
    seen, tensors = loaded(gpt2()), gpt2()
    close(seen["tok_emb.weight"], tensors["wte.weight"], "tok_emb.weight, which should be wte.weight")
    close(seen["pos_emb.weight"], tensors["wpe.weight"], "pos_emb.weight, which should be wpe.weight")


@clause("norms")
def test_the_norms_get_scale_and_shift():
    seen, tensors = loaded(gpt2(blocks=11), n_layers=11), gpt2(blocks=11)
    pairs = {"final_norm": "ln_f"}
    for block in range(11):
        pairs |= {f"trf_blocks.{block}.norm{number}": f"h.{block}.ln_{number}" for number in (1, 2)}
    for norm, ln in pairs.items():
        close(seen[f"{norm}.scale"], tensors[f"{ln}.weight"], f"{norm}.scale, which should be {ln}.weight")
        close(seen[f"{norm}.shift"], tensors[f"{ln}.bias"], f"{norm}.shift, which should be {ln}.bias")


@clause("transposed")
@pytest.mark.parametrize("layer", LINEARS)
def test_the_weights_are_transposed(layer):
    seen, tensors = loaded(gpt2()), gpt2()
    for block in (0, 1):
        theirs = f"h.{block}.{LINEARS[layer]}.weight"
        because = f"the weight of {layer} in block {block}, which should be {theirs}, transposed to (out, in)"
        close(seen[f"trf_blocks.{block}.{layer}.weight"], tensors[theirs].mT, because)


@clause("biases")
@pytest.mark.parametrize("layer", LINEARS)
def test_the_biases_are_taken_as_they_are(layer):
    seen, tensors = loaded(gpt2()), gpt2()
    for block in (0, 1):
        theirs = f"h.{block}.{LINEARS[layer]}.bias"
        because = f"the bias of {layer} in block {block}, which should be {theirs}"
        close(seen[f"trf_blocks.{block}.{layer}.bias"], tensors[theirs], because)


@clause("fused")
@pytest.mark.parametrize(("third", "layer"), [(0, "W_query"), (1, "W_key"), (2, "W_value")])
def test_c_attn_is_cut_into_query_key_and_value(third, layer):
    seen, tensors, columns = loaded(gpt2()), gpt2(), slice(4 * third, 4 * third + 4)
    for block in (0, 1):
        because = f"of {layer} in block {block}, from the columns {4 * third} to {4 * third + 3} of 12 in c_attn"
        weight, bias = (tensors[f"h.{block}.attn.c_attn.{kind}"][..., columns] for kind in ("weight", "bias"))
        close(seen[f"trf_blocks.{block}.att.{layer}.weight"], weight.mT, f"the weight {because}, transposed")
        close(seen[f"trf_blocks.{block}.att.{layer}.bias"], bias, f"the bias {because}")


@clause("head")
def test_the_head_is_the_token_table():
    seen = loaded(gpt2())["out_head.weight"]
    close(seen, gpt2()["wte.weight"], "out_head.weight, which should be wte.weight: there is no lm_head.weight")


@clause("head")
def test_the_logits_are_those_of_gpt2():
    model, tensors = empty(), gpt2()
    load_gpt2_weights(model, tensors)
    close(model(IDS), logits_of_gpt2(tensors, IDS), "the logits of the loaded model, beside those of a GPT-2")


@clause("masks")
def test_masks_are_left_out():
    try:
        seen = loaded(gpt2(masks=True))
    except Exception as error:
        pytest.fail(f"with h.0.attn.bias and h.0.attn.masked_bias among the tensors: {type(error).__name__}: {error}")
    for name, expected in loaded(gpt2()).items():
        close(seen[name], expected, f"{name}, with h.0.attn.bias and h.0.attn.masked_bias among the tensors")


@clause("path")
@pytest.mark.parametrize("kind", [str, Path])
def test_the_tensors_may_come_from_a_file(kind, tmp_path):
    seen = loaded(kind(into_file(gpt2(), tmp_path)))
    for name, expected in loaded(gpt2()).items():
        close(seen[name], expected, f"{name}, from a file whose path is a {kind.__name__}")


@clause("book-names")
def test_the_books_tensors_go_to_their_names():
    state = dict(reversed(book().items()))
    for name, value in loaded(state, load_book_state_dict).items():
        close(value, state[name], f"{name}, from the state dict of the book")


@clause("book-masks")
def test_the_books_masks_are_left_out():
    try:
        seen = loaded(book(masks=True), load_book_state_dict)
    except Exception as error:
        pytest.fail(f"with trf_blocks.0.att.mask among the tensors: {type(error).__name__}: {error}")
    for name, expected in book().items():
        close(seen[name], expected, f"{name}, with trf_blocks.0.att.mask among the tensors")


@clause("prefix")
@pytest.mark.parametrize("masks", [False, True], ids=["plain", "with masks"])
def test_names_may_start_with_transformer(masks):
    try:
        seen = loaded(gpt2(head=True, prefix="transformer.", masks=masks))
    except Exception as error:
        pytest.fail(f"all names but lm_head.weight start with transformer.: {type(error).__name__}: {error}")
    close(seen["pos_emb.weight"], gpt2()["wpe.weight"], "pos_emb.weight, from transformer.wpe.weight")


@clause("lm-head")
def test_the_head_is_lm_head_if_there_is_one():
    seen, tensors = loaded(gpt2(head=True)), gpt2(head=True)
    close(seen["out_head.weight"], tensors["lm_head.weight"], "out_head.weight, which should be lm_head.weight")
    close(seen["tok_emb.weight"], tensors["wte.weight"], "tok_emb.weight, beside an lm_head.weight")


@clause("in-place")
@pytest.mark.parametrize("load", [load_gpt2_weights, load_book_state_dict])
def test_the_parameters_stay_the_same_objects(load):
    model, tensors = empty(), gpt2() if load is load_gpt2_weights else book()
    model.pos_emb.weight.requires_grad_(False)
    before = dict(model.named_parameters())
    load(model, tensors)
    for name, parameter in model.named_parameters():
        assert parameter is before[name], f"{name} is another object after loading: an optimizer has the old one"
        assert parameter.requires_grad == (name != "pos_emb.weight"), f"requires_grad of {name} changed while loading"


@clause("in-place")
def test_a_tied_model_stays_tied():
    model = empty(tied=True)
    load_gpt2_weights(model, gpt2())
    assert model.out_head.weight is model.tok_emb.weight, "out_head and tok_emb were tied, and are not after loading"


@clause("dtype")
@pytest.mark.parametrize("given", [torch.float16, torch.bfloat16, torch.float64], ids=lambda dtype: str(dtype)[6:])
def test_the_numbers_get_the_dtype_of_the_model(given):
    for dtype in (torch.float32, torch.float64):
        seen, tensors = loaded(gpt2(dtype=given), dtype=dtype), gpt2(dtype=given)
        because = f"final_norm.shift of a model in {dtype}, from {given}"
        close(seen["final_norm.shift"], tensors["ln_f.bias"].to(dtype), because, rtol=0, atol=0)


@clause("copy")
def test_the_given_tensors_are_copied():
    model, tensors = empty(), gpt2()
    load_gpt2_weights(model, tensors)
    before = parameters_of(model)
    for name, tensor in tensors.items():
        close(tensor, gpt2()[name], f"the given tensor {name} after loading")
        tensor.mul_(0)
    for name, value in parameters_of(model).items():
        close(value, before[name], f"{name} after the given tensors were changed")


@clause("missing")
@pytest.mark.parametrize("name", TOO_FEW)
def test_a_missing_tensor_is_refused(name):
    with refuses(ValueError, name):
        load_gpt2_weights(empty(), without(gpt2(), name))


@clause("unexpected")
@pytest.mark.parametrize("name", TOO_MANY)
def test_an_unexpected_tensor_is_refused(name):
    with refuses(ValueError, name):
        load_gpt2_weights(empty(), {**gpt2(), name: torch.ones(4)})


@clause("shapes")
@pytest.mark.parametrize("name", RESHAPED)
def test_a_tensor_of_another_shape_is_refused(name):
    with refuses(ValueError, name, RESHAPED[name]):
        load_gpt2_weights(empty(), {**gpt2(), name: torch.ones(RESHAPED[name])})


@clause("qkv-bias")
def test_a_model_without_qkv_bias_is_refused():
    with refuses(ValueError, "qkv_bias"):
        load_gpt2_weights(empty(qkv_bias=False), gpt2())


@clause("not-a-file")
def test_a_damaged_file_is_refused(tmp_path):
    path = into_file(gpt2(), tmp_path)
    for content in (b"", b"the quick brown fox " * 9, path.read_bytes()[:-1]):
        path.write_bytes(content)
        with refuses(ValueError, path):
            load_gpt2_weights(empty(), path)


@clause("unchanged")
@pytest.mark.parametrize(
    "label", ["h.0.mlp.c_proj.weight missing", "h.2.ln_1.weight added", "h.1.attn.c_attn.weight (4, 8)"]
)
def test_a_refusal_leaves_the_model_as_it_was(label):
    model = empty()
    before = parameters_of(model)
    with contextlib.suppress(Exception):
        load_gpt2_weights(model, MISFITS[label][0])
    for name, value in parameters_of(model).items():
        close(value, before[name], f"{name} after a refusal, for {label}")


@clause("book-fits")
@pytest.mark.parametrize("label", ["missing", "unexpected", "shape"])
def test_a_state_dict_that_does_not_fit_is_refused(label):
    tensors, named = book_misfits()[label]
    with refuses(ValueError, *named):
        load_book_state_dict(empty(), tensors)
