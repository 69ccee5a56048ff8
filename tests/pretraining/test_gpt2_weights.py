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
from tests.support import clause, close, dealt, numbers, refuses, same

SIZES = {"vocab_size": 11, "context_length": 6, "emb_dim": 4, "n_heads": 2, "n_layers": 2}
IDS = torch.tensor([[3, 0, 10, 7, 7], [1, 5, 2, 9, 4]])


def gpt2(head=False, prefix="", dtype=torch.float32, masks=False, **sizes):
    """The tensors of a GPT-2, as Hugging Face names and shapes them; each has numbers of its own."""
    sizes = {**SIZES, **sizes}
    d = sizes["emb_dim"]
    shapes = {"wte.weight": (sizes["vocab_size"], d), "wpe.weight": (sizes["context_length"], d)}
    for block in range(sizes["n_layers"]):
        for name, shape in {
            "ln_1": (d,),
            "attn.c_attn": (d, 3 * d),
            "attn.c_proj": (d, d),
            "ln_2": (d,),
            "mlp.c_fc": (d, 4 * d),
            "mlp.c_proj": (4 * d, d),
        }.items():
            shapes |= {f"h.{block}.{name}.weight": shape, f"h.{block}.{name}.bias": shape[-1:]}
    shapes |= {"ln_f.weight": (d,), "ln_f.bias": (d,)}
    made = {prefix + name: numbers(*shape, seed=name, dtype=torch.float64).to(dtype) for name, shape in shapes.items()}
    if masks:
        for block in range(sizes["n_layers"]):
            made[f"{prefix}h.{block}.attn.bias"] = torch.ones(1, 1, 6, 6, dtype=torch.uint8).tril()
            made[f"{prefix}h.{block}.attn.masked_bias"] = torch.tensor(-10_000.0)
    if head:
        made["lm_head.weight"] = numbers(*shapes["wte.weight"], seed="lm_head", dtype=torch.float64).to(dtype)
    return made


def book(qkv_bias=True, masks=0, **sizes):
    """The state dict of the book's GPTModel; with masks, as large as that."""
    sizes = {**SIZES, **sizes}
    d = sizes["emb_dim"]
    shapes = {"tok_emb.weight": (sizes["vocab_size"], d), "pos_emb.weight": (sizes["context_length"], d)}
    for block in range(sizes["n_layers"]):
        own = {f"att.{name}.weight": (d, d) for name in ("W_query", "W_key", "W_value", "out_proj")}
        own |= {f"att.{name}.bias": (d,) for name in ("W_query", "W_key", "W_value") if qkv_bias}
        own |= {"att.mask": (masks, masks)} if masks else {}
        own |= {"att.out_proj.bias": (d,), "ff.layers.0.weight": (4 * d, d), "ff.layers.0.bias": (4 * d,)}
        own |= {"ff.layers.2.weight": (d, 4 * d), "ff.layers.2.bias": (d,)}
        own |= {f"norm{number}.{name}": (d,) for number in (1, 2) for name in ("scale", "shift")}
        shapes |= {f"trf_blocks.{block}.{name}": shape for name, shape in own.items()}
    shapes |= {"final_norm.scale": (d,), "final_norm.shift": (d,), "out_head.weight": shapes["tok_emb.weight"]}
    made = {name: numbers(*shape, seed=f"of the book {name}") for name, shape in shapes.items() if "mask" not in name}
    return made | {name: torch.ones(shape).triu(1) for name, shape in shapes.items() if "mask" in name}


def empty(tied=False, dtype=torch.float32, **sizes):
    """A GPTModel with other numbers than any GPT-2 of these tests, in eval mode."""
    settings = {**SIZES, "drop_rate": 0.1, "qkv_bias": True, **sizes}
    model = dealt(GPTModel(GPTConfig(**settings))).eval()
    if tied:
        model.out_head.weight = model.tok_emb.weight
    return model.to(dtype)


def part(model, name):
    """A tensor of a model by its name."""
    state = model.state_dict()
    assert name in state, f"the model has no {name}; it has {list(state)}"
    return state[name]


def logits_of_gpt2(tensors, ids, heads):
    """What GPT-2 makes of ids, by PyTorch's own functions and Hugging Face's layout; (batch, tokens, vocab_size)."""
    wte, norm = tensors["wte.weight"], functional.layer_norm

    def of(name, x):
        return x @ tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def normed(name, x):
        return norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    x = wte[ids] + tensors["wpe.weight"][: ids.shape[1]]
    for block in range(sum(name.endswith("ln_1.bias") for name in tensors)):
        fused = of(f"h.{block}.attn.c_attn", normed(f"h.{block}.ln_1", x))  # (batch, tokens, 3 d)
        qkv = (one.unflatten(-1, (heads, -1)).transpose(1, 2) for one in fused.chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(*qkv, is_causal=True)  # (batch, heads, tokens, head_dim)
        x = x + of(f"h.{block}.attn.c_proj", mixed.transpose(1, 2).flatten(2))
        inner = functional.gelu(of(f"h.{block}.mlp.c_fc", normed(f"h.{block}.ln_2", x)), approximate="tanh")
        x = x + of(f"h.{block}.mlp.c_proj", inner)
    return normed("ln_f", x) @ tensors.get("lm_head.weight", wte).mT


def loss(logits):
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())


def told(model):
    """The state of a model, as plain values."""
    return {name: (str(value.dtype), str(value.device), [] if value.is_meta else value.tolist())
            for name, value in model.state_dict().items()}  # fmt: skip


def into_file(tensors, folder, name="model.safetensors"):
    path = Path(folder) / name
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})
    return path


def without(tensors, *names):
    return {name: value for name, value in tensors.items() if name not in names}


def misfits():
    """What cannot be loaded: the model, what it is given, and what the refusal names, by clause."""
    whole, model = gpt2(), empty
    found = {f"missing, {name}": (model, without(whole, name), [name]) for name in whole}
    found |= {
        "missing, a block": (lambda: empty(n_layers=3), whole, ["h.2."]),
        "missing, everything": (model, {}, ["weight"]),
        "unexpected, a block": (model, gpt2(n_layers=3), ["h.2."]),
        "unexpected, a bias": (model, {**whole, "wte.bias": torch.zeros(4)}, ["wte.bias"]),
        "unexpected, a head": (model, {**whole, "score.weight": torch.zeros(2, 4)}, ["score.weight"]),
        "unexpected, nearly a mask": (model, {**whole, "h.0.mlp.bias": torch.zeros(4)}, ["h.0.mlp.bias"]),
        "unexpected, twice": (model, {**whole, "transformer.ln_f.bias": torch.zeros(4)}, ["ln_f.bias"]),
        "shapes, vocab_size": (model, gpt2(vocab_size=13), ["wte.weight", (13, 4), (11, 4)]),
        "shapes, a longer context": (model, gpt2(context_length=9), ["wpe.weight", (9, 4), (6, 4)]),
        "shapes, a shorter context": (model, gpt2(context_length=5), ["wpe.weight", (5, 4), (6, 4)]),
        "shapes, emb_dim": (model, {**whole, "ln_f.bias": torch.zeros(5)}, ["ln_f.bias", (5,), (4,)]),
        "shapes, one number": (model, {**whole, "ln_f.weight": torch.ones(1)}, ["ln_f.weight", (1,), (4,)]),
        "shapes, two of three": (
            model,
            {**whole, "h.1.attn.c_attn.weight": torch.zeros(4, 8)},
            ["h.1.attn.c_attn.weight", (4, 8), (4, 12)],
        ),
        "shapes, a bias too long": (
            model,
            {**whole, "h.0.attn.c_attn.bias": torch.zeros(13)},
            ["h.0.attn.c_attn.bias", (13,), (12,)],
        ),
        "shapes, turned": (
            model,
            {**whole, "h.1.mlp.c_fc.weight": torch.zeros(16, 4)},
            ["h.1.mlp.c_fc.weight", (16, 4), (4, 16)],
        ),
        "shapes, head": (
            model,
            {**whole, "lm_head.weight": torch.zeros(4, 11)},
            ["lm_head.weight", (4, 11), (11, 4)],
        ),
        "qkv-bias, none": (lambda: empty(qkv_bias=False), whole, ["qkv_bias=True"]),
        "untied, another head": (lambda: empty(tied=True), gpt2(head=True), ["wte.weight", "lm_head.weight"]),
    }
    for dtype in (torch.int8, torch.int64, torch.bool, torch.complex64):
        last = {**whole, "ln_f.bias": torch.ones(4, dtype=dtype)}
        found[f"floats, {str(dtype)[6:]}"] = (model, last, ["ln_f.bias", str(dtype)])
    return found


def book_misfits():
    """The same for load_book_state_dict."""
    state, plain = book(), book(qkv_bias=False)
    bias = "trf_blocks.1.att.W_key.bias"
    return {
        "missing, a norm": (empty, without(state, "final_norm.shift"), ["final_norm.shift"]),
        "missing, the head": (empty, without(state, "out_head.weight"), ["out_head.weight"]),
        "missing, a bias": (empty, without(state, bias), [bias]),
        "missing, all biases": (empty, plain, ["trf_blocks.0.att.W_query.bias"]),
        "unexpected, all biases": (lambda: empty(qkv_bias=False), state, ["trf_blocks.0.att.W_query.bias"]),
        "unexpected, a block": (lambda: empty(n_layers=1), state, ["trf_blocks.1."]),
        "unexpected, a mask elsewhere": (
            empty,
            {**state, "trf_blocks.0.mask": torch.ones(6, 6)},
            ["trf_blocks.0.mask"],
        ),
        "unexpected, nearly a mask": (
            empty,
            {**state, "trf_blocks.0.att.mask_bias": torch.ones(6)},
            ["trf_blocks.0.att.mask_bias"],
        ),
        "shapes, context": (
            lambda: empty(context_length=9),
            state,
            ["pos_emb.weight", (6, 4), (9, 4)],
        ),
        "shapes, turned": (
            empty,
            {**state, "trf_blocks.0.ff.layers.0.weight": torch.zeros(4, 16)},
            ["trf_blocks.0.ff.layers.0.weight", (4, 16), (16, 4)],
        ),
        "floats, int64": (empty, {**state, "final_norm.shift": torch.ones(4).long()}, ["final_norm.shift", "int64"]),
        "untied": (lambda: empty(tied=True), state, ["tok_emb.weight", "out_head.weight"]),
    }


def files(folder):
    """Files that are no safetensors file, or not all of one."""
    whole = into_file(gpt2(), folder).read_bytes()
    made = {"nothing": b"", "text": b"the quick brown fox " * 9, "half": whole[: len(whole) // 2], "short": whole[:-1]}
    for name, written in made.items():
        path = Path(folder) / f"{name}.safetensors"
        path.write_bytes(written)
        yield path
    torch.save(gpt2(), Path(folder) / "pytorch_model.bin")
    yield Path(folder) / "pytorch_model.bin"


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def loaded(tensors, **kind):
        model = empty(**kind)
        named = [name.removeprefix("transformer.") for name in tensors]
        return tried(lambda: kata.load_gpt2_weights(model, tensors), *named), told(model), model.training

    def of_book(state, **kind):
        model = empty(**kind)
        return tried(lambda: kata.load_book_state_dict(model, state), *state), told(model)

    def refused(load, cases):
        for label in cases:
            make, given, named = {**MISFITS, **BOOK_MISFITS}[label]
            model = make()
            before = told(model)
            yield label, tried(lambda: load(model, given), *named), told(model) == before  # noqa: B023

    def filled():
        model = empty(tied=True)
        model.pos_emb.weight.requires_grad_(False)
        before = {name: id(value) for name, value in model.named_parameters(remove_duplicate=False)}
        came = tried(lambda: kata.load_gpt2_weights(model, gpt2()))
        after = {name: id(value) for name, value in model.named_parameters(remove_duplicate=False)}
        learns = [value.requires_grad for value in model.parameters()]
        return came, before == after, learns, model.out_head.weight is model.tok_emb.weight, told(model)

    def book_filled():
        model = empty()
        before = [id(value) for value in model.parameters()]
        return tried(lambda: kata.load_book_state_dict(model, book())), before == [id(v) for v in model.parameters()]

    def kept(load, tensors):
        model, given = empty(), {name: value.clone() for name, value in tensors.items()}
        order = list(given)
        came = tried(lambda: load(model, given))
        before = told(model)
        same_given = list(given) == order and all(torch.equal(given[name], tensors[name]) for name in order)
        for value in given.values():
            value.add_(1) if value.is_floating_point() else None
        return came, same_given, told(model) == before

    def from_files():
        with tempfile.TemporaryDirectory() as folder:
            path = into_file(gpt2(prefix="transformer."), folder)
            for one in (path, str(path)):
                model = empty()
                yield tried(lambda: kata.load_gpt2_weights(model, one), path), told(model)  # noqa: B023
            path.write_bytes(bytes(path.stat().st_size))
            yield told(model)
            yield [tried(lambda path=path: kata.load_gpt2_weights(empty(), path), path) for path in files(folder)]
            yield tried(lambda: kata.load_gpt2_weights(empty(), Path(folder) / "none"))

    return {
        "numbers": lambda: loaded(gpt2()),
        "head": lambda: loaded(gpt2(head=True)),
        "prefix": lambda: [loaded(one) for one in (gpt2(prefix="transformer."), transformers_own(), mixed_prefixes())],
        "masks": lambda: [loaded(gpt2(masks=True)), loaded(gpt2(masks=True, prefix="transformer."))],
        "blocks": lambda: loaded(gpt2(n_layers=12), n_layers=12),
        "filled": filled,
        "tied": lambda: loaded({**gpt2(), "lm_head.weight": gpt2()["wte.weight"]}, tied=True),
        "float64": lambda: [loaded(gpt2(dtype=dtype), dtype=torch.float64) for dtype in (torch.float16, torch.float64)],
        "bfloat16": lambda: loaded(gpt2(), dtype=torch.bfloat16),
        "meta": lambda: on_meta(lambda model: tried(lambda: kata.load_gpt2_weights(model, gpt2()))),
        "kept": lambda: [kept(kata.load_gpt2_weights, gpt2(masks=True)), kept(kata.load_book_state_dict, book())],
        "files": lambda: list(from_files()),
        "refused": lambda: list(refused(kata.load_gpt2_weights, TOLD_APART)),
        "book": lambda: [of_book(dict(reversed(book().items()))), of_book(book(), dtype=torch.float64)],
        "book filled": book_filled,
        "book without biases": lambda: of_book(book(qkv_bias=False), qkv_bias=False),
        "book masks": lambda: of_book(book(masks=6)),
        "book refused": lambda: list(refused(kata.load_book_state_dict, BOOK_TOLD_APART)),
    }


def on_meta(load):
    model = empty().to("meta")
    came = load(model)
    return came, {name: value.device.type for name, value in model.named_parameters()}


def transformers_own():
    return gpt2(head=True, prefix="transformer.")  # of lm_head.weight it is no part


def mixed_prefixes():
    """Names with transformer. and without, in one dict."""
    tensors = gpt2(head=True)
    return {f"transformer.{name}" if place % 2 else name: value for place, (name, value) in enumerate(tensors.items())}


MISFITS, BOOK_MISFITS = misfits(), {f"book, {label}": case for label, case in book_misfits().items()}
TOLD_APART = [  # the misfits on which the known mistakes differ
    "missing, wte.weight",
    "missing, h.1.attn.c_attn.bias",
    "missing, ln_f.bias",
    "unexpected, a block",
    "unexpected, nearly a mask",
    "unexpected, twice",
    "shapes, a longer context",
    "shapes, one number",
    "shapes, a bias too long",
    "shapes, turned",
    "shapes, head",
    "qkv-bias, none",
    "untied, another head",
    "floats, int64",
    "floats, complex64",
]
BOOK_TOLD_APART = [
    "book, missing, the head",
    "book, unexpected, all biases",
    "book, unexpected, a mask elsewhere",
    "book, shapes, context",
    "book, floats, int64",
    "book, untied",
]


def fitting(slug, cases):
    """The misfits of a clause, as parameters of its test."""
    labels = [label for label in cases if label.startswith(f"{slug},")]
    return pytest.mark.parametrize("case", labels, ids=lambda label: label.partition(", ")[2])


@clause("rows")
def test_the_tables_go_over_as_they_are():
    model, tensors = empty(), gpt2()
    load_gpt2_weights(model, tensors)
    for mine, theirs in {"tok_emb.weight": "wte.weight", "pos_emb.weight": "wpe.weight"}.items():
        close(part(model, mine), tensors[theirs], f"{mine} is not {theirs}, row for row")


@clause("rows")
def test_norms_and_biases_go_over_as_they_are():
    model, tensors = empty(), gpt2()
    load_gpt2_weights(model, tensors)
    names = {"final_norm.scale": "ln_f.weight", "final_norm.shift": "ln_f.bias"}
    for block in range(2):
        mine, theirs = f"trf_blocks.{block}", f"h.{block}"
        for norm, ln in {"norm1": "ln_1", "norm2": "ln_2"}.items():
            names |= {f"{mine}.{norm}.scale": f"{theirs}.{ln}.weight", f"{mine}.{norm}.shift": f"{theirs}.{ln}.bias"}
        for layer, conv in {
            "att.out_proj": "attn.c_proj",
            "ff.layers.0": "mlp.c_fc",
            "ff.layers.2": "mlp.c_proj",
        }.items():
            names[f"{mine}.{layer}.bias"] = f"{theirs}.{conv}.bias"
    for mine, theirs in names.items():
        close(part(model, mine), tensors[theirs], f"{mine} is not {theirs}, number for number")


@clause("turned")
@pytest.mark.parametrize("block", [0, 1])
def test_weights_are_transposed(block):
    model, tensors = empty(), gpt2()
    load_gpt2_weights(model, tensors)
    for layer, conv in {"att.out_proj": "attn.c_proj", "ff.layers.0": "mlp.c_fc", "ff.layers.2": "mlp.c_proj"}.items():
        seen, theirs = part(model, f"trf_blocks.{block}.{layer}.weight"), tensors[f"h.{block}.{conv}.weight"]
        because = f"h.{block}.{conv}.weight is (in, out), here {tuple(theirs.shape)}, and nn.Linear has (out, in)"
        close(seen, theirs.mT, because)


@clause("fused")
def test_the_columns_of_c_attn_are_cut_in_three():
    model, tensors = empty(n_layers=1, n_heads=1, emb_dim=1), gpt2(n_layers=1, emb_dim=1)
    tensors["h.0.attn.c_attn.weight"] = torch.tensor([[1.0, 2.0, 3.0]])
    tensors["h.0.attn.c_attn.bias"] = torch.tensor([4.0, 5.0, 6.0])
    load_gpt2_weights(model, tensors)
    names = ("W_query", "W_key", "W_value")
    seen = [part(model, f"trf_blocks.0.att.{name}.{kind}").item() for kind in ("weight", "bias") for name in names]
    because = "with an emb_dim of 1 and the c_attn weight 1, 2, 3 and bias 4, 5, 6, these are query, key, value of each"
    same(seen, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], because)


@clause("fused")
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_each_third_is_transposed_by_itself(heads):
    model, tensors = empty(n_heads=heads), gpt2()
    load_gpt2_weights(model, tensors)
    for block in range(2):
        weight, bias = tensors[f"h.{block}.attn.c_attn.weight"], tensors[f"h.{block}.attn.c_attn.bias"]
        for third, name in enumerate(("W_query", "W_key", "W_value")):
            columns = slice(4 * third, 4 * third + 4)
            because = (
                f"{name} of block {block} is columns {columns.start} to {columns.stop - 1} of c_attn, with emb_dim 4"
            )
            close(part(model, f"trf_blocks.{block}.att.{name}.weight"), weight[:, columns].mT, because)
            close(part(model, f"trf_blocks.{block}.att.{name}.bias"), bias[columns], because)


@clause("head")
def test_the_head_is_lm_head_or_the_table():
    model, tensors = empty(), gpt2()
    load_gpt2_weights(model, tensors)
    close(part(model, "out_head.weight"), tensors["wte.weight"], "there is no lm_head.weight, and GPT-2 ties it to wte")
    with_head = gpt2(head=True)
    load_gpt2_weights(model, with_head)
    close(part(model, "out_head.weight"), with_head["lm_head.weight"], "there is an lm_head.weight, for out_head")
    close(
        part(model, "tok_emb.weight"), tensors["wte.weight"], "there is an lm_head.weight, and the table is wte.weight"
    )


@clause("head")
def test_an_untied_model_stays_untied():
    model = empty()
    load_gpt2_weights(model, gpt2())
    with torch.no_grad():
        model.tok_emb.weight[0] += 1
    because = "out_head and tok_emb are two parameters, and became one: moving the one moved the other"
    close(part(model, "out_head.weight"), gpt2()["wte.weight"], because)


@clause("blocks")
def test_each_of_many_blocks_gets_its_own():
    model, tensors = empty(n_layers=12), gpt2(n_layers=12)
    load_gpt2_weights(model, tensors)
    for block in range(12):
        for mine, theirs in {"norm1.scale": "ln_1.weight", "ff.layers.2.bias": "mlp.c_proj.bias"}.items():
            because = f"of twelve blocks, block {block} has another {mine} than h.{block}.{theirs}"
            close(part(model, f"trf_blocks.{block}.{mine}"), tensors[f"h.{block}.{theirs}"], because)


@clause("logits")
@pytest.mark.parametrize(("layers", "heads", "head"), [(1, 1, False), (2, 2, False), (3, 4, True)])
def test_the_logits_are_those_of_gpt2(layers, heads, head):
    model, tensors = empty(n_layers=layers, n_heads=heads), gpt2(n_layers=layers, head=head)
    load_gpt2_weights(model, tensors)
    seen, expected = model(IDS), logits_of_gpt2(tensors, IDS, heads)
    close(seen, expected, f"{layers} blocks of {heads} heads: with the same weights GPT-2 gives other logits")


@clause("logits")
def test_the_gradients_are_those_of_gpt2():
    model, tensors = empty(), gpt2(head=True)
    load_gpt2_weights(model, tensors)
    loss(model(IDS)).backward()
    leaves = {name: value.clone().requires_grad_() for name, value in tensors.items()}
    loss(logits_of_gpt2(leaves, IDS, 2)).backward()
    gradients = {
        "tok_emb.weight": leaves["wte.weight"].grad,
        "out_head.weight": leaves["lm_head.weight"].grad,
        "trf_blocks.0.att.W_key.weight": leaves["h.0.attn.c_attn.weight"].grad[:, 4:8].mT,
        "trf_blocks.1.ff.layers.0.weight": leaves["h.1.mlp.c_fc.weight"].grad.mT,
        "final_norm.scale": leaves["ln_f.weight"].grad,
    }
    parameters = dict(model.named_parameters())
    for name, expected in gradients.items():
        assert parameters[name].grad is not None, f"after loading, no gradient reaches {name}"
        close(parameters[name].grad, expected, f"with the same weights {name} gets another gradient than in GPT-2")


@clause("prefix")
@pytest.mark.parametrize("kind", ["all", "some", "all, with masks"])
def test_names_may_begin_with_transformer(kind):
    model, plain = empty(), empty()
    given = {
        "all": gpt2(head=True, prefix="transformer."),
        "some": mixed_prefixes(),
        "all, with masks": gpt2(head=True, prefix="transformer.", masks=True),
    }[kind]
    load_gpt2_weights(plain, gpt2(head=True))
    load_gpt2_weights(model, given)
    same(
        told(model),
        told(plain),
        f"with transformer. before {kind.partition(',')[0]} of the names, the model is another",
    )


@clause("masks")
@pytest.mark.parametrize("kind", ["bool", "uint8", "float", "of another context"])
def test_masks_are_left_out(kind):
    model, plain, tensors = empty(), empty(), gpt2(masks=True)
    for name in ("h.0.attn.bias", "h.1.attn.bias"):
        if kind == "of another context":
            tensors[name] = torch.ones(1, 1, 1024, 1024, dtype=torch.bool)
        else:
            tensors[name] = tensors[name].to({"bool": torch.bool, "uint8": torch.uint8, "float": torch.float32}[kind])
    load_gpt2_weights(plain, gpt2())
    load_gpt2_weights(model, tensors)
    same(told(model), told(plain), "h.0.attn.bias and h.0.attn.masked_bias are masks, and change nothing")


@clause("filled")
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_parameters_are_filled_and_not_replaced(tied):
    model = empty(tied=tied)
    model.pos_emb.weight.requires_grad_(False)
    before = dict(model.named_parameters(remove_duplicate=False))
    load_gpt2_weights(model, gpt2())
    after = dict(model.named_parameters(remove_duplicate=False))
    for name in before:
        assert after.get(name) is before[name], (
            f"{name} is another parameter after loading: an optimizer has the old one"
        )
    frozen = [name for name, value in after.items() if not value.requires_grad]
    same(frozen, ["pos_emb.weight"], "pos_emb.weight alone was frozen")
    same(model.training, False, "the model was in eval mode")
    close(part(model, "out_head.weight"), gpt2()["wte.weight"], "out_head.weight is not wte.weight")


@clause("filled")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
@pytest.mark.parametrize("given", [torch.float16, torch.bfloat16, torch.float64], ids=lambda dtype: str(dtype)[6:])
def test_numbers_are_converted_to_the_models_dtype(given, dtype):
    model, tensors = empty(dtype=dtype), gpt2(dtype=given)
    load_gpt2_weights(model, tensors)
    for mine, theirs in {
        "tok_emb.weight": "wte.weight",
        "final_norm.shift": "ln_f.bias",
        "out_head.weight": "wte.weight",
    }.items():
        because = f"the model is {dtype} and was given {given}"
        close(part(model, mine), tensors[theirs].to(dtype), because, rtol=0, atol=0)


@clause("filled")
def test_parameters_stay_on_their_device():
    _, seen = on_meta(lambda model: load_gpt2_weights(model, gpt2()))
    moved = [name for name, device in seen.items() if device != "meta"]
    assert not moved, f"the model is on the meta device, and after loading {moved[0]} is not"


@clause("own")
def test_what_was_given_and_the_model_are_apart():
    model, tensors = empty(), gpt2(masks=True, prefix="transformer.")
    given = {name: value.clone() for name, value in tensors.items()}
    load_gpt2_weights(model, given)
    same(list(given), list(tensors), "the dict that was given has other names after loading")
    for name, value in tensors.items():
        close(given[name], value, f"the tensor {name} that was given is another after loading")
    before = told(model)
    for value in given.values():
        value.mul_(0)
    same(told(model), before, "the tensors that were given changed after loading, and the model with them")


@clause("own")
def test_the_file_may_change_afterwards(tmp_path):
    model, path = empty(), into_file(gpt2(), tmp_path)
    load_gpt2_weights(model, path)
    before = told(model)
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    same(told(model), before, "the file was overwritten after loading, and the model changed with it")
    assert any(part(model, "tok_emb.weight").flatten().tolist()), "tok_emb.weight is all zeros"


@clause("path")
@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("prefix", ["", "transformer."], ids=["plain", "transformer."])
def test_a_file_is_as_good_as_a_dict(prefix, kind, tmp_path):
    model, plain = empty(), empty()
    load_gpt2_weights(plain, gpt2(head=True))
    load_gpt2_weights(model, kind(into_file(gpt2(head=True, prefix=prefix, masks=True), tmp_path)))
    same(told(model), told(plain), "from a safetensors file the model is another than from a dict of its tensors")


@clause("no-file")
def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path):
    for path in files(tmp_path):
        with refuses(ValueError, path):
            load_gpt2_weights(empty(), path)


@clause("no-file")
def test_a_file_that_is_not_there_is_not_found(tmp_path):
    with refuses(FileNotFoundError):
        load_gpt2_weights(empty(), tmp_path / "model.safetensors")


@clause("missing")
@fitting("missing", MISFITS)
def test_a_missing_tensor_is_named(case):
    refused(load_gpt2_weights, MISFITS[case])


@clause("unexpected")
@fitting("unexpected", MISFITS)
def test_an_unexpected_tensor_is_named(case):
    refused(load_gpt2_weights, MISFITS[case])


@clause("shapes")
@fitting("shapes", MISFITS)
def test_another_shape_is_named(case):
    refused(load_gpt2_weights, MISFITS[case])


@clause("qkv-bias")
@fitting("qkv-bias", MISFITS)
def test_a_model_without_biases_is_refused(case):
    refused(load_gpt2_weights, MISFITS[case])


@clause("untied")
@fitting("untied", MISFITS)
def test_another_head_is_refused_by_a_tied_model(case):
    refused(load_gpt2_weights, MISFITS[case])


@clause("untied")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_the_same_head_is_fine_for_a_tied_model(dtype):
    model, tensors = empty(tied=True, dtype=dtype), gpt2()
    tensors["lm_head.weight"] = tensors["wte.weight"].clone()
    try:
        load_gpt2_weights(model, tensors)
    except ValueError as error:
        pytest.fail(f"lm_head.weight and wte.weight have the same numbers, and out_head is tied to tok_emb: {error}")
    close(part(model, "out_head.weight"), tensors["wte.weight"].to(dtype), "out_head.weight is not wte.weight")


@clause("floats")
@fitting("floats", MISFITS)
def test_what_is_no_float_is_refused(case):
    refused(load_gpt2_weights, MISFITS[case])


def refused(load, case):
    """Have a model refuse what it is given."""
    make, given, named = case
    model = make()
    with refuses(ValueError, *named):
        load(model, given)


@clause("kept")
@pytest.mark.parametrize("case", [label for label in MISFITS if not label.startswith("missing, h.0")], ids=str)
def test_what_is_refused_changes_nothing(case):
    unchanged(load_gpt2_weights, MISFITS[case])


def unchanged(load, case):
    make, given, _ = case
    model = make()
    before = told(model)
    with contextlib.suppress(ValueError):
        load(model, given)
        pytest.fail("what does not fit was loaded")
    same(told(model), before, "what does not fit was refused, and the model has changed")


@clause("book")
@pytest.mark.parametrize("kind", [{}, {"qkv_bias": False}, {"n_layers": 11}], ids=str)
def test_each_tensor_goes_to_its_name(kind):
    model, state = empty(**kind), book(**kind)
    before = dict(model.named_parameters())
    load_book_state_dict(model, dict(reversed(state.items())))
    for name, value in state.items():
        close(part(model, name), value, f"{name} of the model is not {name} of the state dict")
    for name, value in model.named_parameters():
        assert value is before[name], f"{name} is another parameter after loading: an optimizer has the old one"


@clause("book")
def test_the_books_numbers_are_converted_and_copied():
    model, state = empty(tied=True, dtype=torch.float64), {name: value.half() for name, value in book().items()}
    state["out_head.weight"] = state["tok_emb.weight"].clone()
    load_book_state_dict(model, state)
    close(part(model, "pos_emb.weight"), state["pos_emb.weight"].double(), "a float64 model was given float16")
    assert model.out_head.weight is model.tok_emb.weight, "out_head and tok_emb were tied, and loading untied them"
    before = told(model)
    for value in state.values():
        value.mul_(0)
    same(told(model), before, "the state dict changed after loading, and the model with it")


@clause("book-masks")
@pytest.mark.parametrize("size", [6, 64])
def test_the_books_masks_are_left_out(size):
    model = empty()
    load_book_state_dict(model, book(masks=size))
    for name, value in book().items():
        close(
            part(model, name), value, f"{name} of the model is another where the masks of the book come with the rest"
        )


@clause("book-differs")
@pytest.mark.parametrize("case", BOOK_MISFITS, ids=lambda label: label.partition(", ")[2])
def test_any_other_difference_is_named(case):
    refused(load_book_state_dict, BOOK_MISFITS[case])


@clause("book-differs")
@pytest.mark.parametrize("case", BOOK_MISFITS, ids=lambda label: label.partition(", ")[2])
def test_what_differs_changes_nothing(case):
    unchanged(load_book_state_dict, BOOK_MISFITS[case])
