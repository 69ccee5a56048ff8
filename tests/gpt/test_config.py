"""The configuration, clause by clause. The why: docs/gpt/config.md."""

import dataclasses
import math

import pytest

from katas.gpt.config import GPTConfig
from tests import probes
from tests.support import clause, refuses, same

SIZES = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers")
FIELDS = (*SIZES, "drop_rate", "qkv_bias")
PRESETS = {  # emb_dim, n_heads, n_layers
    "gpt2-small": (768, 12, 12),
    "gpt2-medium": (1024, 16, 24),
    "gpt2-large": (1280, 20, 36),
    "gpt2-xl": (1600, 25, 48),
}


def values(**changes):
    """Seven values, all different, that go together."""
    fitting = {"vocab_size": 97, "context_length": 40, "emb_dim": 24, "n_heads": 3, "n_layers": 5}
    return {**fitting, "drop_rate": 0.2, "qkv_bias": True, **changes}


def made(**changes):
    return GPTConfig(**values(**changes))


def held(config):
    """What the fields hold."""
    return {name: getattr(config, name, "no such attribute") for name in FIELDS}


def accepted(**changes):
    """A configuration that should be built; a test fails where it is refused."""
    try:
        return made(**changes)
    except (TypeError, ValueError, ArithmeticError) as error:
        pytest.fail(f"{changes} should be accepted; a {type(error).__name__} came: {error}")


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def tried(call, *named):
        """What came; of a refusal its kind, and whether it names what it should."""
        seen = probes.tried(call, *named)
        return [getattr(seen, name, "missing") for name in FIELDS] if isinstance(seen, kata.GPTConfig) else seen

    def new(**changes):
        return kata.GPTConfig(**values(**changes))

    def one(name, value):
        return lambda: tried(lambda: new(**{name: value}), name, value)

    def without(name):
        return tried(lambda: kata.GPTConfig(**{field: v for field, v in values().items() if field != name}), name)

    def preset(*names, **changes):
        return lambda: tried(lambda: kata.GPTConfig.preset(*names, **changes), *names, *changes)

    def after_changes():
        tried(lambda: kata.GPTConfig.preset("gpt2-small", n_layers=2, drop_rate=0.0))
        return tried(lambda: kata.GPTConfig.preset("gpt2-small"))

    return {
        "by keyword": lambda: tried(new),
        "by position": lambda: tried(lambda: kata.GPTConfig(97, 40, 24, 3, 5, 0.2, True)),
        "head_dim": lambda: new().head_dim if isinstance(new().head_dim, int | float) else "a method",
        **{name: preset(name) for name in PRESETS},
        "changed": preset("gpt2-medium", context_length=256, n_layers=2, qkv_bias=True),
        "changed to 0": preset("gpt2-medium", drop_rate=0.0),
        "after changes": after_changes,
        **{f"no {name}": lambda name=name: without(name) for name in FIELDS},
        **{f"{name} of {value}": one(name, value) for name in SIZES for value in (0, -24)},
        "one layer": one("n_layers", 1),
        **{
            f"{name} of {value!r}": one(name, value) for name in ("n_heads", "n_layers") for value in (True, 12.0, "12")
        },
        "7 heads": lambda: tried(lambda: new(n_heads=7), 24, 7),
        "48 heads": lambda: tried(lambda: new(n_heads=48), 24, 48),
        **{f"a rate of {value!r}": one("drop_rate", value) for value in (0, 1, 0.0, 10, 1.25, -0.25, math.nan)},
        **{f"a rate of {value!r}": one("drop_rate", value) for value in (True, "0.1")},
        **{f"a bias of {value!r}": one("qkv_bias", value) for value in (1, None, "False")},
        "unknown": preset("gpt2-tiny"),
        "no field": preset("gpt2-small", num_heads=7),
        "set": lambda: tried(lambda: setattr(new(), "n_heads", 6)),
        "as a dict": lambda: tried(lambda: list(dataclasses.asdict(new()))),
    }


@clause("fields")
def test_each_field_holds_what_was_given_by_keyword():
    same(held(made()), values(), "the seven values were given by keyword")


@clause("fields")
def test_each_field_holds_what_was_given_by_position():
    because = f"the seven values were given by position, in the order {', '.join(FIELDS)}"
    same(held(GPTConfig(97, 40, 24, 3, 5, 0.2, True)), values(), because)


@clause("head-dim")
@pytest.mark.parametrize(("emb_dim", "n_heads", "head_dim"), [(24, 3, 8), (24, 24, 1), (768, 12, 64), (1600, 25, 64)])
def test_the_heads_share_the_features(emb_dim, n_heads, head_dim):
    same(made(emb_dim=emb_dim, n_heads=n_heads).head_dim, head_dim, f"{n_heads} heads share {emb_dim} features")


@clause("gpt2-small")
def test_gpt2_small():
    book = {"vocab_size": 50257, "context_length": 1024, "emb_dim": 768, "n_heads": 12, "n_layers": 12}
    same(held(GPTConfig.preset("gpt2-small")), {**book, "drop_rate": 0.1, "qkv_bias": False}, 'preset("gpt2-small")')


@clause("gpt2-sizes")
@pytest.mark.parametrize("name", list(PRESETS)[1:])
def test_larger_ones_differ_in_three_fields(name):
    sizes = dict(zip(("emb_dim", "n_heads", "n_layers"), PRESETS[name], strict=True))
    same(held(GPTConfig.preset(name)), held(GPTConfig.preset("gpt2-small")) | sizes, f'preset("{name}")')


@clause("changes")
@pytest.mark.parametrize("name", PRESETS)
def test_a_change_takes_the_place_of_the_presets_value(name):
    changes = {"context_length": 256, "n_layers": 2, "drop_rate": 0.0, "qkv_bias": True}
    before = held(GPTConfig.preset(name))
    same(held(GPTConfig.preset(name, **changes)), before | changes, f'preset("{name}") with the changes {changes}')
    because = f'preset("{name}") was called with changes before, and these should not stay'
    same(held(GPTConfig.preset(name)), before, because)


@clause("no-default")
def test_no_field_has_a_default():
    made()
    for name in FIELDS:
        with refuses(TypeError, name):  # by Python itself
            GPTConfig(**{field: value for field, value in values().items() if field != name})


@clause("sizes")
def test_a_size_is_at_least_one():
    accepted(**dict.fromkeys(SIZES, 1))
    for name in SIZES:
        for value in (0, -24):
            with refuses(ValueError, name, value):
                made(**{name: value})


@clause("integers")
def test_a_size_is_an_int():
    made()
    for name in SIZES:
        for value in (24.0, "24", None, True):
            with refuses(TypeError, name, value):
                made(**{name: value})


@clause("divisible")
def test_emb_dim_is_a_multiple_of_n_heads():
    for n_heads in (1, 3, 8, 24):
        accepted(emb_dim=24, n_heads=n_heads)
    for emb_dim, n_heads in ((24, 7), (24, 48), (770, 12)):
        with refuses(ValueError, emb_dim, n_heads):
            made(emb_dim=emb_dim, n_heads=n_heads)


@clause("rate")
def test_a_rate_is_between_zero_and_one():
    for value in (0, 1, 0.0, 1.0, 0.5):
        same(accepted(drop_rate=value).drop_rate, value, f"drop_rate={value} was given")
    for value in (-0.25, 1.25, 10, math.inf, math.nan):
        with refuses(ValueError, "drop_rate", value):
            made(drop_rate=value)


@clause("number")
def test_a_rate_is_a_number():
    made()
    for value in ("0.1", None, True):
        with refuses(TypeError, "drop_rate", value):
            made(drop_rate=value)


@clause("flag")
def test_a_flag_is_a_bool():
    for value in (True, False):
        same(accepted(qkv_bias=value).qkv_bias, value, f"qkv_bias={value} was given")
    for value in (0, 1, None, "False"):
        with refuses(TypeError, "qkv_bias", value):
            made(qkv_bias=value)


@clause("frozen")
def test_a_field_cannot_be_set():
    config = made()
    for name in FIELDS:
        with refuses(dataclasses.FrozenInstanceError):
            setattr(config, name, 6)
    same(held(config), values(), "fields were set, which was refused")


@clause("as-dict")
def test_a_dict_has_the_seven_fields():
    same(list(dataclasses.asdict(made()).items()), list(values().items()), "dataclasses.asdict of a configuration")


@clause("unknown")
def test_an_unknown_name_is_refused():
    same(GPTConfig.preset("gpt2-small").n_layers, 12, 'preset("gpt2-small")')
    for name in ("gpt2-tiny", "small"):
        with refuses(ValueError, name):
            GPTConfig.preset(name)


@clause("no-field")
def test_a_change_of_no_field_is_refused():
    same(GPTConfig.preset("gpt2-small").n_heads, 12, 'preset("gpt2-small")')
    for name in ("num_heads", "head_dim"):
        with refuses(TypeError, name):
            GPTConfig.preset("gpt2-small", **{name: 64})
