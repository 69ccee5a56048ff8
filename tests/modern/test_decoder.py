"""The decoder of today, clause by clause. The why: docs/modern/decoder.md.

What a model should give is computed with its own parts: how well a part does its work is for its own kata to say.
"""

import contextlib
import functools
import json
import math
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

from katas.modern.decoder import DecoderBlock, DecoderConfig, DecoderModel, load_pretrained
from katas.modern.grouped_query import GroupedQueryAttention
from katas.modern.mixture_of_experts import MoE
from katas.modern.rope import RotaryScaling, rotary_angles
from katas.modern.swiglu import SwiGLU
from tests.support import clause, close, dealt, numbers, parameters, refuses, same

IDS = torch.tensor([[3, 0, 10, 3, 7], [1, 1, 5, 2, 9]])  # of a vocabulary of 11
SCALING = RotaryScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context_length=64)
FAMILIES = {
    "llama": {"head_dim": None, "rope_scaling": SCALING},
    "qwen3": {"qk_norm": True},
    "qwen2": {"qkv_bias": True},
    "mixtral": {"num_experts": 3, "top_k": 2},
}
ATTENTION = {
    "W_query.weight": "q_proj.weight",
    "W_key.weight": "k_proj.weight",
    "W_value.weight": "v_proj.weight",
    "W_query.bias": "q_proj.bias",
    "W_key.bias": "k_proj.bias",
    "W_value.bias": "v_proj.bias",
    "query_norm.weight": "q_norm.weight",
    "key_norm.weight": "k_norm.weight",
    "out_proj.weight": "o_proj.weight",
}
MANY_BLOCKS = {"num_layers": 11, "emb_dim": 2, "hidden_dim": 1, "num_heads": 1, "num_kv_heads": 1, "head_dim": 2}
EXPERT = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
REFUSED = ["missing", "unexpected", "shape", "integers", "truncated"]


def sizes(**changes):
    """A configuration in which no two sizes are equal, except where the parts need it."""
    usual = {"vocab_size": 11, "context_length": 7, "emb_dim": 8, "hidden_dim": 5, "num_layers": 2, "num_heads": 4}
    return DecoderConfig(**{**usual, "num_kv_heads": 2, "head_dim": 6, "rope_base": 100.0, "norm_eps": 0.1, **changes})


class Memory:
    """The cache of a layer: what was appended, joined."""

    def __init__(self):
        self.length, self.kept = 0, []

    def append(self, keys, values):
        self.length += keys.shape[2]
        self.kept.append((keys, values))
        return tuple(torch.cat(parts, dim=2) for parts in zip(*self.kept, strict=True))


class Noting(torch.nn.Module):
    """A block that doubles what it reads, adds its place, and notes what it read and which cache it was given."""

    def __init__(self, place):
        super().__init__()
        self.place, self.read, self.caches = place, [], []

    def forward(self, x, cache=None):
        self.read.append(x)
        self.caches.append(cache)
        return 2 * x + self.place


def noting(model):
    """The model with Noting in the place of its blocks, and these."""
    blocks = [Noting(place) for place in range(len(model.trf_blocks))]
    model.trf_blocks = torch.nn.ModuleList(blocks)
    return model, blocks


def caches_of_blocks(model):
    """For each block the places, in the model's cache, of the caches that it is called with; None: something else."""
    model, blocks = noting(model)
    caches = [Memory() for _ in blocks]
    model(IDS, cache=caches)
    places = {id(each): place for place, each in enumerate(caches)}
    return [[places.get(id(given)) for given in block.caches] for block in blocks]


def by_parts(model, ids):
    """The logits, computed with the model's own parts one by one."""
    x = model.tok_emb(ids)
    for block in model.trf_blocks:
        x = block(x)
    return model.out_head(model.final_norm(x))


def in_chunks(model, ids, *lengths):
    """The logits of a text that is read in chunks, with a cache for each block."""
    caches = [Memory() for _ in model.trf_blocks]
    return torch.cat([model(chunk, cache=caches) for chunk in ids.split(lengths, dim=1)], dim=1)


def angles_of(config):
    head_dim = config.head_dim or config.emb_dim // config.num_heads
    return rotary_angles(head_dim, config.context_length, config.rope_base, config.rope_scaling)


def rotated(attention, config, x):
    """What attention with the weights of this one, and the angles of the configuration, makes of x."""
    mine = GroupedQueryAttention(
        config.emb_dim,
        config.emb_dim,
        config.context_length,
        config.num_heads,
        config.num_kv_heads,
        head_dim=config.head_dim,
        qkv_bias=config.qkv_bias,
        qk_norm=config.qk_norm,
        angles=angles_of(config),
    )
    mine.load_state_dict(attention.state_dict())
    return mine(x)


def published_name(name):
    """The name that a published file has for one of ours."""
    whole = {"tok_emb": "model.embed_tokens", "final_norm": "model.norm", "out_head": "lm_head"}
    first, _, rest = name.partition(".")
    if first in whole:
        return f"{whole[first]}.{rest}"
    _, block, part, rest = name.split(".", 3)
    if part in ("norm1", "norm2"):
        return f"model.layers.{block}.{'input' if part == 'norm1' else 'post_attention'}_layernorm.{rest}"
    if part == "att":
        return f"model.layers.{block}.self_attn.{ATTENTION[rest]}"
    if rest == "router.weight":
        return f"model.layers.{block}.block_sparse_moe.gate.weight"
    if rest.startswith("experts"):
        _, expert, layer, kind = rest.split(".")
        return f"model.layers.{block}.block_sparse_moe.experts.{expert}.{EXPERT[layer]}.{kind}"
    return f"model.layers.{block}.mlp.{rest}"


def published(config, head=None, dtype=torch.float32):
    """The tensors of a published model by their names; each has numbers of its own."""
    return dict(_published(config, head, dtype))


@functools.cache
def _published(config, head, dtype):
    named = DecoderModel(config).named_parameters(remove_duplicate=False)
    shapes = {published_name(name): value.shape for name, value in named}
    if not (not config.tie_embeddings if head is None else head):
        del shapes["lm_head.weight"]
    return {name: numbers(*shape, seed=name).to(dtype) for name, shape in shapes.items()}


def into_folder(tensors, folder, shards=1):
    """Write the tensors as they are published: in one file, or in several with an index. Gives the folder."""
    folder = Path(folder)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    places = {
        name: f"model-{place % shards + 1:05}-of-{shards:05}.safetensors" for place, name in enumerate(sorted(tensors))
    }
    for file in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == file}, folder / file)
    into_index(folder, {"metadata": {"total_size": 1}, "weight_map": places})
    return folder


def into_index(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def empty(config, dtype=torch.float32):
    return dealt(DecoderModel(config)).to(dtype)


def parameters_of(model):
    return {name: value.detach().clone() for name, value in model.named_parameters(remove_duplicate=False)}


def loaded(config, folder, load=load_pretrained, dtype=torch.float32):
    """The parameters of a model of this configuration that was loaded from a folder, by name."""
    model = empty(config, dtype)
    load(model, folder)
    return parameters_of(model)


def broken(kind, folder):
    """A folder of a model that does not fit, and what the message has to name."""
    tensors, name = published(sizes()), "model.layers.1.mlp.up_proj.weight"
    if kind == "missing":
        del tensors[name]
    elif kind == "unexpected":
        name = "model.layers.2.mlp.up_proj.weight"
        tensors[name] = torch.ones(5, 8)
    elif kind == "shape":
        tensors[name] = torch.ones(8, 5)
    elif kind == "integers":
        tensors[name] = torch.ones(5, 8, dtype=torch.int8)
    into_folder(tensors, folder)
    path = folder / "model.safetensors"
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
        return folder, [path]
    return folder, [name, (8, 5)] if kind == "shape" else [name]


def probe(kata):
    """Small cases on which the known mistakes differ."""
    x = numbers(2, 5, 8)

    def made(**changes):
        return dealt(kata.DecoderModel(sizes(**changes)))

    def block(**changes):
        config = sizes(**changes)
        return dealt(kata.DecoderBlock(config, angles_of(config)))

    def attended(**changes):
        return [each.att(x) for each in made(**changes).trf_blocks]

    def order():
        model, blocks = noting(made(num_layers=3))
        model(IDS)
        return [[tuple(x.flatten()[:2].tolist()) for x in block.read] for block in blocks]

    def head():
        """What follows the blocks, where these change nothing: with the norm, without it, or without all."""
        model = made(num_layers=0)
        return model(IDS)

    def given_caches():
        return caches_of_blocks(made(num_layers=3))

    def tried(call):
        try:
            return call()
        except Exception as error:
            return type(error).__name__

    def from_file(tensors, config, shards=1, dtype=torch.float32):
        with tempfile.TemporaryDirectory() as folder:
            into_folder(tensors, folder, shards)
            return tried(lambda: loaded(config, folder, kata.load_pretrained, dtype))

    @functools.cache
    def from_usual_file(config, shards, dtype):
        return from_file(published(config), config, shards, dtype)

    def filled(name, shards=1, dtype=torch.float32, **changes):
        found = from_usual_file(sizes(**changes), shards, dtype)
        return found if isinstance(found, str) else found.get(name)

    def refused(write, config=None):
        """Whether the refusal names what is wrong, and whether the model has other numbers afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            path, named = write(Path(folder))
            model = empty(config or sizes())
            before = parameters_of(model)
            try:
                kata.load_pretrained(model, path)
            except ValueError as error:
                seen = [str(value) in str(error) for value in named]
            except Exception as error:
                seen = type(error).__name__
            else:
                return "accepted"
            return seen, all(torch.equal(value, before[name]) for name, value in parameters_of(model).items())

    def with_index(content):
        def write(folder):
            into_index(folder, content)
            return folder, [folder / "model.safetensors.index.json"]

        return refused(write)

    def other_head():
        tensors = published(sizes(), head=True)
        return refused(lambda folder: (into_folder(tensors, folder), ["lm_head.weight"]), sizes(tie_embeddings=True))

    def same_head():
        tensors = published(sizes())
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        return from_file(tensors, sizes(tie_embeddings=True))

    def same_parameters():
        with tempfile.TemporaryDirectory() as folder:
            into_folder(published(sizes()), folder)
            model = empty(sizes())
            before = {name: id(value) for name, value in model.named_parameters()}
            kata.load_pretrained(model, folder)
            return before == {name: id(value) for name, value in model.named_parameters()}

    def heads(**changes):
        """Whether out_head and tok_emb are one parameter, and whether they begin with the same numbers."""
        model = kata.DecoderModel(sizes(**changes))
        table, head = model.tok_emb.weight, model.out_head.weight
        return table is head, torch.equal(table, head)

    def extra_in(file):
        """Of two files, one has all tensors and the other, named here, one that has no place."""

        def write(folder):
            files = {"a.safetensors": published(sizes()), "b.safetensors": published(sizes())}
            files[f"{file}.safetensors"] = {"extra.weight": torch.ones(3)}
            for name, tensors in files.items():
                save_file(tensors, folder / name)
            into_index(folder, {"weight_map": {name: file for file in files for name in files[file]}})
            return folder, ["extra.weight"]

        return refused(write)

    def from_outside():
        def write(folder):
            save_file(published(sizes()), folder / "a.safetensors")
            (folder / "model").mkdir()
            into_index(folder / "model", {"weight_map": dict.fromkeys(published(sizes()), "../a.safetensors")})
            return folder / "model", ["../a.safetensors"]

        return refused(write)

    def first_loss(tie):
        torch.manual_seed(3)
        return abs(initial_loss(kata.DecoderModel, tie) - math.log(50)) < 0.5

    one = ["norm1.weight", "norm2.weight", "att.W_query.weight", "att.W_key.weight", "att.W_value.weight"]
    one += ["att.out_proj.weight", "ff.gate_proj.weight", "ff.up_proj.weight", "ff.down_proj.weight"]
    names = ["tok_emb.weight", "final_norm.weight", "out_head.weight", *(f"trf_blocks.1.{name}" for name in one)]
    moe = ["router.weight", *(f"experts.1.{layer}.weight" for layer in EXPERT)]
    return {
        "block": lambda: block()(x),
        "block with experts": lambda: block(num_experts=3, top_k=2)(x),
        "names of a block": lambda: sorted(name for name, _ in block(qk_norm=True, qkv_bias=True).named_parameters()),
        "norm1": lambda: block().norm1(0.1 * x),
        "norm2": lambda: block().norm2(0.1 * x),
        "final norm": lambda: made().final_norm(0.1 * x),
        "parameters": lambda: sorted(name for name, _ in made().named_parameters()),
        "parameters, tied": lambda: sorted(name for name, _ in made(tie_embeddings=True).named_parameters()),
        "attention": attended,
        "attention with base 10": lambda: attended(rope_base=10.0),
        "attention with scaling": lambda: attended(rope_scaling=SCALING),
        "attention of small heads": lambda: attended(head_dim=None),
        "logits": lambda: made()(IDS),
        "order": order,
        "head": head,
        "caches": lambda: tried(given_caches),
        "chunks": lambda: tried(lambda: in_chunks(made(), IDS, 2, 1, 2)),
        "table and head, tied": lambda: heads(tie_embeddings=True),
        "table and head, untied": heads,
        "first loss": lambda: first_loss(False),
        "first loss, tied": lambda: first_loss(True),
        **{f"loaded {name}": lambda name=name: filled(name) for name in names},
        **{
            f"loaded ff.{name}": lambda name=name: filled(f"trf_blocks.1.ff.{name}", num_experts=3, top_k=2)
            for name in moe
        },
        "loaded query norm": lambda: filled("trf_blocks.1.att.query_norm.weight", qk_norm=True),
        "loaded key bias": lambda: filled("trf_blocks.1.att.W_key.bias", qkv_bias=True),
        "loaded block 10": lambda: filled("trf_blocks.10.norm1.weight", **MANY_BLOCKS),
        "loaded without head": lambda: filled("out_head.weight", tie_embeddings=True),
        "two shards": lambda: filled("trf_blocks.1.norm1.weight", shards=2),
        "three shards": lambda: filled("tok_emb.weight", shards=3),
        "bfloat16 file": lambda: from_file(published(sizes(), dtype=torch.bfloat16), sizes()),
        "float64 model": lambda: str(getattr(filled("final_norm.weight", dtype=torch.float64), "dtype", "an error")),
        "same parameters": lambda: tried(same_parameters),
        "other head": other_head,
        "same head": same_head,
        **{kind: lambda kind=kind: refused(lambda folder: broken(kind, folder)) for kind in REFUSED},
        "no file": lambda: refused(lambda folder: (folder, [folder])),
        "index of a list": lambda: with_index([1]),
        "index of numbers": lambda: with_index({"weight_map": {"model.norm.weight": 3}}),
        "outside": from_outside,
        "extra in the first file": lambda: extra_in("a"),
        "extra in the second file": lambda: extra_in("b"),
    }


def initial_loss(kata_class, tie):
    """The loss of a new model on random ids of a vocabulary of 50."""
    model = kata_class(sizes(vocab_size=50, context_length=64, emb_dim=96, norm_eps=1e-6, tie_embeddings=tie))
    ids = (numbers(4, 65, seed="ids") * 25 + 25).long()
    with torch.no_grad():
        return cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).item()


@clause("block-parts")
def test_a_block_has_two_norms_attention_and_a_feedforward_part():
    config = sizes(qk_norm=True, qkv_bias=True)
    expected = {"norm1.weight": (8,), "norm2.weight": (8,), "att.out_proj.weight": (8, 24)}
    for name, width in (("W_query", 24), ("W_key", 12), ("W_value", 12)):
        expected |= {f"att.{name}.weight": (width, 8), f"att.{name}.bias": (width,)}
    expected |= {"att.query_norm.weight": (6,), "att.key_norm.weight": (6,), "ff.down_proj.weight": (8, 5)}
    expected |= {f"ff.{name}.weight": (5, 8) for name in ("gate_proj", "up_proj")}
    seen = {name: tuple(value.shape) for name, value in DecoderBlock(config, angles_of(config)).named_parameters()}
    same(seen, expected, "the parameters of a block with emb_dim=8, hidden_dim=5, 4 heads of 6 features, 2 for keys")


@clause("block-parts")
def test_a_block_has_experts_if_there_are_any():
    config = sizes(num_experts=3, top_k=2)
    feedforward = dealt(DecoderBlock(config, angles_of(config))).ff
    assert isinstance(feedforward, MoE), f"num_experts is 3, and ff is a {type(feedforward).__name__}"
    mine, x = MoE(8, 5, 3, 2), numbers(2, 5, 8)
    mine.load_state_dict(feedforward.state_dict())
    close(feedforward(x), mine(x), "ff, beside a MoE(8, 5, 3, 2) with its weights")
    plain = DecoderBlock(sizes(), angles_of(sizes())).ff
    assert isinstance(plain, SwiGLU), f"num_experts is 0, and ff is a {type(plain).__name__}"


@clause("block-parts")
@pytest.mark.parametrize("name", ["norm1", "norm2"])
def test_the_norms_of_a_block_have_the_eps_of_the_configuration(name):
    norm, x = getattr(DecoderBlock(sizes(), angles_of(sizes())), name), 0.1 * numbers(2, 5, 8)
    close(norm(x), x / (x.square().mean(dim=-1, keepdim=True) + 0.1).sqrt(), f"{name} of a block with norm_eps=0.1")


@clause("pre-norm")
@pytest.mark.parametrize("family", FAMILIES)
def test_each_part_reads_a_norm_and_adds_to_what_was_there(family):
    config = sizes(**FAMILIES[family])
    block, x = dealt(DecoderBlock(config, angles_of(config))), numbers(2, 5, 8)
    middle = x + block.att(block.norm1(x))
    close(block(x), middle + block.ff(block.norm2(middle)), "x + att(norm1(x)) is y, and y + ff(norm2(y)) the output")


@clause("parts")
def test_the_parameters_are_those_of_the_parts():
    block = DecoderBlock(sizes(), angles_of(sizes()))
    expected = {"tok_emb.weight": (11, 8), "final_norm.weight": (8,), "out_head.weight": (11, 8)}
    for place in range(2):
        expected |= {f"trf_blocks.{place}.{name}": tuple(one.shape) for name, one in block.named_parameters()}
    seen = {name: tuple(value.shape) for name, value in DecoderModel(sizes()).named_parameters()}
    same(seen, expected, "the parameters of a model of two blocks, with vocab_size=11 and emb_dim=8")


@clause("parts")
def test_the_last_norm_has_the_eps_of_the_configuration():
    norm, x = DecoderModel(sizes()).final_norm, 0.1 * numbers(2, 5, 8)
    close(norm(x), x / (x.square().mean(dim=-1, keepdim=True) + 0.1).sqrt(), "final_norm with norm_eps=0.1")


@clause("rotation")
@pytest.mark.parametrize(
    "changes", [{"rope_base": 10.0}, {"rope_base": 5e5}, {"rope_scaling": SCALING}, {"head_dim": None}], ids=str
)
def test_every_block_rotates_by_the_angles_of_the_configuration(changes):
    config = sizes(**changes)
    x = 3 * numbers(2, 5, 8)
    for place, block in enumerate(dealt(DecoderModel(config)).trf_blocks):
        because = f"the attention of block {place}, beside one with the same weights and the angles for {changes}"
        close(block.att(x), rotated(block.att, config, x), because)


@clause("logits")
def test_each_block_reads_what_the_one_before_it_gave():
    model, blocks = noting(dealt(DecoderModel(sizes(num_layers=3))))
    model(IDS)
    expected = model.tok_emb(IDS)
    for place, block in enumerate(blocks):
        assert len(block.read) == 1, f"block {place} was called {len(block.read)} times in one call of the model"
        close(block.read[0], expected, f"what block {place} of 3 reads")
        expected = 2 * expected + place


@clause("logits")
@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_the_logits_are_those_of_the_parts_in_order(family):
    model = dealt(DecoderModel(sizes(**FAMILIES[family])))
    close(model(IDS), by_parts(model, IDS), "out_head(final_norm(x)), where x went from tok_emb through the blocks")


@clause("cached")
def test_each_block_gets_the_cache_of_its_place():
    because = "a model of three blocks was called with three caches: the places of those that each block was given"
    same(caches_of_blocks(dealt(DecoderModel(sizes(num_layers=3)))), [[0], [1], [2]], because)


@clause("cached")
@pytest.mark.parametrize("lengths", [(1, 4), (2, 1, 2)], ids=str)
def test_a_text_in_chunks_gets_the_logits_of_the_whole_text(lengths):
    model = dealt(DecoderModel(sizes(qk_norm=True)))
    close(in_chunks(model, IDS, *lengths), model(IDS), f"5 tokens, read in chunks of {lengths}, beside all at once")


@clause("tied")
def test_a_tied_head_is_the_table():
    model = DecoderModel(sizes(tie_embeddings=True))
    tied = model.out_head.weight is model.tok_emb.weight
    assert tied, "with tie_embeddings, out_head.weight and tok_emb.weight are two parameters, and should be one"
    model = DecoderModel(sizes())
    assert model.out_head.weight is not model.tok_emb.weight, "without tie_embeddings, they should be two parameters"


@clause("names")
@pytest.mark.parametrize("family", ["llama", "qwen3", "qwen2"])
def test_each_parameter_gets_the_tensor_of_its_name(family, tmp_path):
    config = sizes(**FAMILIES[family])
    tensors = published(config)
    for name, value in loaded(config, into_folder(tensors, tmp_path)).items():
        close(value, tensors[published_name(name)], f"{name}, which should be {published_name(name)}")


@clause("names")
def test_blocks_are_numbered_and_not_sorted(tmp_path):
    config = sizes(**MANY_BLOCKS)
    tensors = published(config)
    seen = loaded(config, into_folder(tensors, tmp_path))
    for block in (2, 10):
        name = f"trf_blocks.{block}.norm1.weight"
        close(seen[name], tensors[published_name(name)], f"{name} of 11 blocks")


@clause("names")
@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_may_be_that_of_a_file(kind, tmp_path):
    tensors = published(sizes())
    path = into_folder(tensors, tmp_path) / "model.safetensors"
    seen = loaded(sizes(), kind(path))["final_norm.weight"]
    close(seen, tensors["model.norm.weight"], f"final_norm.weight, from a file whose path is a {kind.__name__}")


@clause("no-head")
def test_a_tied_model_needs_no_head(tmp_path):
    config = sizes(tie_embeddings=True)
    tensors = published(config)
    try:
        seen = loaded(config, into_folder(tensors, tmp_path))
    except Exception as error:
        pytest.fail(f"a tied model, and a file without lm_head.weight: {type(error).__name__}: {error}")
    for name in ("tok_emb.weight", "out_head.weight"):
        close(seen[name], tensors["model.embed_tokens.weight"], f"{name} of a tied model")


@clause("shards")
@pytest.mark.parametrize("shards", [2, 3])
def test_the_tensors_may_come_from_several_files(shards, tmp_path):
    tensors = published(sizes())
    folder = into_folder(tensors, tmp_path, shards)
    try:
        seen = loaded(sizes(), folder)
    except Exception as error:
        pytest.fail(f"a folder with {shards} files and an index: {type(error).__name__}: {error}")
    for name, value in seen.items():
        close(value, tensors[published_name(name)], f"{name}, from a folder with {shards} files and an index")


@clause("initial-loss")
@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
def test_a_new_model_guesses(tie):
    torch.manual_seed(3)
    loss = initial_loss(DecoderModel, tie)
    because = f"the loss of a new model with tie_embeddings={tie} is {loss:.2f}, and ln(50) is {math.log(50):.2f}"
    assert abs(loss - math.log(50)) < 0.5, because


@clause("experts")
def test_experts_get_the_tensors_of_their_names(tmp_path):
    config = sizes(**FAMILIES["mixtral"])
    tensors = published(config)
    for name, value in loaded(config, into_folder(tensors, tmp_path)).items():
        close(value, tensors[published_name(name)], f"{name}, which should be {published_name(name)}")


@clause("dtype")
@pytest.mark.parametrize("given", [torch.bfloat16, torch.float16, torch.float64], ids=lambda dtype: str(dtype)[6:])
def test_the_numbers_get_the_dtype_of_the_model(given, tmp_path):
    tensors = published(sizes(), dtype=given)
    folder = into_folder(tensors, tmp_path)
    for dtype in (torch.float32, torch.bfloat16):
        seen = loaded(sizes(), folder, dtype=dtype)["final_norm.weight"]
        because = f"final_norm.weight of a model in {dtype}, from {given}"
        close(seen, tensors["model.norm.weight"].to(dtype), because, rtol=0, atol=0)


@clause("in-place")
@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
def test_the_parameters_stay_the_same_objects(tie, tmp_path):
    config = sizes(tie_embeddings=tie)
    model = empty(config)
    before = parameters(model)
    load_pretrained(model, into_folder(published(config), tmp_path))
    for name, parameter in model.named_parameters():
        assert parameter is before[name], f"{name} is another object after loading: an optimizer has the old one"
    assert not tie or model.out_head.weight is model.tok_emb.weight, "out_head and tok_emb were tied, and are not now"


@clause("other-head")
def test_a_tied_model_refuses_another_head(tmp_path):
    folder = into_folder(published(sizes(), head=True), tmp_path)
    with refuses(ValueError, "lm_head.weight"):
        load_pretrained(empty(sizes(tie_embeddings=True)), folder)


@clause("other-head")
def test_a_tied_model_accepts_a_head_that_is_the_table(tmp_path):
    tensors = published(sizes())
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    seen = loaded(sizes(tie_embeddings=True), into_folder(tensors, tmp_path))
    close(seen["out_head.weight"], tensors["lm_head.weight"], "out_head.weight, where lm_head.weight is the table")


@clause("missing")
@pytest.mark.parametrize(
    "name", ["model.embed_tokens.weight", "model.layers.0.self_attn.k_proj.weight", "model.norm.weight"]
)
def test_a_missing_tensor_is_refused(name, tmp_path):
    tensors = published(sizes())
    del tensors[name]
    with refuses(ValueError, name):
        load_pretrained(empty(sizes()), into_folder(tensors, tmp_path))


@clause("missing")
def test_an_untied_model_needs_a_head(tmp_path):
    with refuses(ValueError, "lm_head.weight"):
        load_pretrained(empty(sizes()), into_folder(published(sizes(), head=False), tmp_path))


@clause("unexpected")
@pytest.mark.parametrize(
    "name", ["model.layers.2.input_layernorm.weight", "model.layers.0.self_attn.q_proj.bias", "norm.weight"]
)
def test_an_unexpected_tensor_is_refused(name, tmp_path):
    folder = into_folder({**published(sizes()), name: torch.ones(8)}, tmp_path)
    with refuses(ValueError, name):
        load_pretrained(empty(sizes()), folder)


@clause("shapes")
@pytest.mark.parametrize(
    ("name", "shape"), [("model.norm.weight", (1,)), ("model.layers.1.self_attn.k_proj.weight", (24, 8))]
)
def test_a_tensor_of_another_shape_is_refused(name, shape, tmp_path):
    folder = into_folder({**published(sizes()), name: torch.ones(shape)}, tmp_path)
    with refuses(ValueError, name, shape):
        load_pretrained(empty(sizes()), folder)


@clause("integers")
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64], ids=lambda dtype: str(dtype)[6:])
def test_integers_are_refused(dtype, tmp_path):
    name = "model.layers.0.mlp.gate_proj.weight"
    folder = into_folder({**published(sizes()), name: torch.ones(5, 8, dtype=dtype)}, tmp_path)
    with refuses(ValueError, name):
        load_pretrained(empty(sizes()), folder)


@clause("not-a-file")
def test_a_damaged_file_is_refused(tmp_path):
    path = into_folder(published(sizes()), tmp_path) / "model.safetensors"
    for content in (b"", b"<html>Not Found</html>", b"\xff" * 64, path.read_bytes()[:-1]):
        path.write_bytes(content)
        with refuses(ValueError, path):
            load_pretrained(empty(sizes()), tmp_path)


@clause("not-a-file")
def test_a_file_that_is_missing_is_refused(tmp_path):
    with refuses(ValueError, tmp_path):
        load_pretrained(empty(sizes()), tmp_path)
    path = tmp_path / "absent.safetensors"
    with refuses(ValueError, path):
        load_pretrained(empty(sizes()), path)


@clause("not-a-file")
@pytest.mark.parametrize("which", ["missing", "truncated"])
def test_a_shard_that_is_missing_or_damaged_is_refused(which, tmp_path):
    into_folder(published(sizes()), tmp_path, shards=2)
    path = tmp_path / "model-00002-of-00002.safetensors"
    if which == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with refuses(ValueError, path):
        load_pretrained(empty(sizes()), tmp_path)


@clause("not-a-file")
@pytest.mark.parametrize(
    "content",
    ["", "{", "[" * 100_000, [1], {"weights": {}}, {"weight_map": 3}, {"weight_map": {"model.norm.weight": 3}}],
    ids=["empty", "begun", "deep", "list", "without", "number", "name"],
)
def test_a_damaged_index_is_refused(content, tmp_path):
    into_index(tmp_path, content)
    with refuses(ValueError, tmp_path / "model.safetensors.index.json"):
        load_pretrained(empty(sizes()), tmp_path)


@clause("outside")
@pytest.mark.parametrize("way", ["up", "absolute"])
def test_a_file_outside_of_the_folder_is_refused(way, tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "model"
    elsewhere.mkdir()
    folder.mkdir()
    into_folder(published(sizes()), elsewhere)
    file = "../elsewhere/model.safetensors" if way == "up" else str(elsewhere / "model.safetensors")
    into_index(folder, {"weight_map": dict.fromkeys(published(sizes()), file)})
    with refuses(ValueError, file):
        load_pretrained(empty(sizes()), folder)


@clause("unchanged")
@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_leaves_the_model_as_it_was(kind, tmp_path):
    model = empty(sizes())
    before = parameters_of(model)
    folder, _ = broken(kind, tmp_path)
    with contextlib.suppress(Exception):
        load_pretrained(model, folder)
    for name, value in parameters_of(model).items():
        close(value, before[name], f"{name} after a refusal: {kind}")


@clause("unchanged")
def test_a_damaged_shard_leaves_the_model_as_it_was(tmp_path):
    into_folder(published(sizes()), tmp_path, shards=2)
    path = tmp_path / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    model = empty(sizes())
    before = parameters_of(model)
    with contextlib.suppress(Exception):
        load_pretrained(model, tmp_path)
    for name, value in parameters_of(model).items():
        close(value, before[name], f"{name} after the second of two files was found truncated")
