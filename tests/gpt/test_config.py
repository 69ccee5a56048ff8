"""The configuration, clause by clause. The why: docs/gpt/config.md."""

import copy
import dataclasses
import json
import math
import pickle
from decimal import Decimal

import numpy as np
import pytest

from katas.gpt.config import GPTConfig
from tests.support import clause, refuses, same

SIZES = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers")
FIELDS = (*SIZES, "drop_rate", "qkv_bias")
PRESETS = ("gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl")
TOO_SMALL = (0, -1, -24)
# Of each field a value that differs from that of values() below, and goes with the others there.
OTHERS = dict(zip(FIELDS, (98, 41, 27, 4, 6, 0.3, False), strict=True))
NO_INTS = (True, False, 24.0, 2.5, math.nan, "24", None, np.int64(24), np.int32(24), np.True_)
NO_RATES = (-0.25, -1, 1.25, 2, 50, -1e-9, math.inf, -math.inf, math.nan)
RATES = (0, 1, 0.0, 1.0, 0.5, 1e-9)
NO_NUMBERS = (True, False, "0.1", None, Decimal("0.1"), np.float32(0.5), [0.1])
NO_FLAGS = (0, 1, None, "False", "", np.False_, 0.0)


def values(**changes):
    """Seven values, all different, that go together."""
    fitting = {"vocab_size": 97, "context_length": 40, "emb_dim": 24, "n_heads": 3, "n_layers": 5}
    return {**fitting, "drop_rate": 0.2, "qkv_bias": True, **changes}


def made(**changes):
    return GPTConfig(**values(**changes))


def given_back(config):
    """What the fields hold."""
    missing = [name for name in FIELDS if not hasattr(config, name)]
    assert not missing, f"there is no attribute {missing[0]}"
    return {name: getattr(config, name) for name in FIELDS}


def accepted(**changes):
    """A configuration that should be built; a refusal of it is told as one."""
    try:
        return made(**changes)
    except (TypeError, ValueError, ArithmeticError) as error:
        pytest.fail(f"{changes} can be built, and was refused with a {type(error).__name__}: {error}")


def probe(kata):
    """Small cases on which the known mistakes differ: what comes of values that fit, and of each that does not."""

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            seen = call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]
        if not isinstance(seen, kata.GPTConfig):
            return seen
        return type(seen).__name__, [getattr(seen, name, "missing") for name in (*FIELDS, "head_dim")]

    def new(**changes):
        return kata.GPTConfig(**values(**changes))

    def one(name, value):
        return tried(lambda: new(**{name: value}), name, value)

    def said(value):
        return value if isinstance(value, int | float) else type(value).__name__

    def changed():
        first = tried(lambda: kata.GPTConfig.preset("gpt2-small", context_length=256, drop_rate=0.0, qkv_bias=True))
        return first, tried(lambda: kata.GPTConfig.preset("gpt2-small"))

    def written(config, change):
        seen = tried(lambda: change(config))
        return seen, [getattr(config, name, "missing") for name in FIELDS]

    def equalities():
        one = new()
        return (
            [one == new(), *(one == tried_new(name, value) for name, value in OTHERS.items())],
            one == tuple(values().values()),
            one == values(),
            tried(lambda: hash(one) == hash(new())),
        )

    def tried_new(name, value):
        try:
            return new(**{name: value})
        except Exception:
            return None

    class Wide(kata.GPTConfig):
        pass

    def turned():
        """What the first holds after a second was made of it."""
        config = new()
        second = tried(lambda: dataclasses.replace(config, n_heads=4))
        return [getattr(config, name, "missing") for name in FIELDS], second

    return {
        "by keyword": lambda: tried(new),
        "by position": lambda: tried(lambda: kata.GPTConfig(97, 40, 24, 3, 5, 0.2, True)),
        "incomplete": lambda: [
            tried(lambda name=name: kata.GPTConfig(**{k: v for k, v in values().items() if k != name}))
            for name in FIELDS
        ],
        "small sizes": lambda: [one(name, value) for name in SIZES for value in TOO_SMALL],
        "sizes of 1": lambda: [one(name, 1) for name in SIZES if name != "emb_dim"],
        "all 1": lambda: tried(lambda: kata.GPTConfig(1, 1, 1, 1, 1, 0.0, False)),
        "no ints": lambda: [one(name, value) for name in SIZES for value in NO_INTS],
        "uneven": lambda: [
            tried(lambda e=e, n=n: new(emb_dim=e, n_heads=n), e, n) for e, n in ((770, 12), (3, 4), (25, 24), (7, 49))
        ],
        "even": lambda: [tried(lambda e=e, n=n: new(emb_dim=e, n_heads=n)) for e, n in ((768, 12), (5, 5), (9, 3))],
        "no rates": lambda: [one("drop_rate", value) for value in NO_RATES],
        "rates": lambda: [one("drop_rate", value) for value in RATES],
        "no numbers": lambda: [one("drop_rate", value) for value in NO_NUMBERS],
        "no flags": lambda: [one("qkv_bias", value) for value in NO_FLAGS],
        "head_dim": lambda: [said(new(n_heads=n).head_dim) for n in (1, 3, 24)],
        "written": lambda: [
            written(new(), lambda config, name=name: setattr(config, name, 6))
            for name in (*FIELDS, "head_dim", "another")
        ],
        "deleted": lambda: [written(new(), lambda config, name=name: delattr(config, name)) for name in FIELDS],
        "equal": equalities,
        "replaced": lambda: [
            tried(lambda: dataclasses.replace(new(), n_heads=4)),
            tried(lambda: dataclasses.replace(new(), n_heads=7), 24, 7),
        ],
        "after a replacement": turned,
        "as a dict": lambda: tried(lambda: list(dataclasses.asdict(new()).items())),
        "loaded": lambda: tried(lambda: kata.GPTConfig(**json.loads(json.dumps(dataclasses.asdict(new()))))),
        "pickled": lambda: tried(lambda: pickle.loads(pickle.dumps(new()))),
        "deep-copied": lambda: tried(lambda: copy.deepcopy(new())),
        **{name: lambda name=name: tried(lambda: kata.GPTConfig.preset(name)) for name in PRESETS},
        "changed": changed,
        "changed badly": lambda: [
            tried(lambda change=change: kata.GPTConfig.preset("gpt2-small", **change), *change, *change.values())
            for change in ({"n_heads": 7}, {"drop_rate": 10}, {"n_layers": "12"}, {"emb_dim": 0})
        ],
        "unknown": lambda: tried(lambda: kata.GPTConfig.preset("gpt2-tiny"), "gpt2-tiny", *PRESETS),
        "no field": lambda: tried(lambda: kata.GPTConfig.preset("gpt2-small", num_heads=7), "num_heads"),
        "subclass": lambda: tried(lambda: Wide.preset("gpt2-small")),
    }


@clause("values")
def test_each_field_holds_what_it_was_given():
    same(given_back(made()), values(), "the seven values were given by keyword")


@clause("values")
def test_by_position_the_order_is_that_of_the_specification():
    because = f"the seven values were given by position, in the order {', '.join(FIELDS)}"
    try:
        config = GPTConfig(97, 40, 24, 3, 5, 0.2, True)
    except (TypeError, ValueError) as error:
        pytest.fail(f"a {type(error).__name__} came, {error}: {because}")
    same(given_back(config), values(), because)


@clause("values")
def test_nothing_has_a_default():
    made()
    for name in FIELDS:
        incomplete = {field: value for field, value in values().items() if field != name}
        with refuses(TypeError, name):  # by Python itself, where the field has no default
            GPTConfig(**incomplete)


@clause("sizes")
def test_sizes_below_one_are_refused():
    made()
    for name in SIZES:
        for value in TOO_SMALL:
            with refuses(ValueError, name, value):
                made(**{name: value})


@clause("sizes")
def test_sizes_of_one_will_do():
    for name in (name for name in SIZES if name != "emb_dim"):
        same(given_back(accepted(**{name: 1})), values(**{name: 1}), f"{name}=1 was given")
    accepted(**dict.fromkeys(SIZES, 1))


@clause("integers")
def test_sizes_that_are_no_ints_are_refused():
    made()
    for name in SIZES:
        for value in NO_INTS:
            with refuses(TypeError, name, value):
                made(**{name: value})


@clause("divides")
def test_heads_that_share_evenly_are_fine_and_others_are_refused():
    for emb_dim in range(1, 25):
        for n_heads in (1, 2, 3, 4, 5, 7, 24):
            if emb_dim % n_heads == 0:
                accepted(emb_dim=emb_dim, n_heads=n_heads)
            else:
                with refuses(ValueError, emb_dim, n_heads):
                    made(emb_dim=emb_dim, n_heads=n_heads)


@clause("divides")
def test_more_heads_than_features_are_refused():
    made()
    for emb_dim, n_heads in ((770, 12), (25, 24), (7, 49), (3, 4)):
        with refuses(ValueError, emb_dim, n_heads):
            made(emb_dim=emb_dim, n_heads=n_heads)


@clause("rate")
def test_rates_that_are_no_probability_are_refused():
    made()
    for value in NO_RATES:
        with refuses(ValueError, "drop_rate", value):
            made(drop_rate=value)


@clause("rate")
def test_every_probability_will_do():
    for value in RATES:
        seen = accepted(drop_rate=value).drop_rate
        assert seen == value, f"drop_rate={value} was given, and {seen} is held"


@clause("number")
def test_rates_that_are_no_numbers_are_refused():
    made()
    for value in NO_NUMBERS:
        with refuses(TypeError, "drop_rate", value):
            made(drop_rate=value)


@clause("flag")
def test_flags_that_are_neither_true_nor_false_are_refused():
    made()
    for value in NO_FLAGS:
        with refuses(TypeError, "qkv_bias", value):
            made(qkv_bias=value)
    for value in (True, False):
        same(accepted(qkv_bias=value).qkv_bias, value, f"qkv_bias={value} was given")


@clause("head-dim")
def test_the_features_are_shared_among_the_heads():
    same(made(emb_dim=24, n_heads=3).head_dim, 8, "3 heads share 24 features")
    same(made(emb_dim=24, n_heads=24).head_dim, 1, "24 heads share 24 features")
    same(dataclasses.replace(made(), n_heads=4).head_dim, 6, "24 features were shared by 3 heads, and now are by 4")


@clause("head-dim")
@pytest.mark.parametrize("name", PRESETS)
def test_a_head_of_any_gpt2_has_64_features(name):
    same(GPTConfig.preset(name).head_dim, 64, f"in {name} emb_dim is 64 times n_heads")


@clause("head-dim")
def test_the_features_of_a_head_cannot_be_given():
    same(made().head_dim, 8, "3 heads share 24 features")
    with refuses(TypeError, "head_dim"):
        made(head_dim=8)


@clause("frozen")
def test_no_attribute_is_set_or_deleted():
    config = made()
    for name in (*FIELDS, "head_dim", "another"):
        with refuses(dataclasses.FrozenInstanceError):
            setattr(config, name, 6)
    for name in FIELDS:
        with refuses(dataclasses.FrozenInstanceError):
            delattr(config, name)
    same(given_back(config), values(), "attributes were set and deleted, all of which was refused")


@clause("equal")
def test_equal_values_make_equal_configurations():
    one, other = made(), made()
    assert one == other, "two configurations have the same seven values, and are not equal"
    try:
        same(len({one, other}), 1, "two equal configurations were put in a set: is their hash the same?")
    except TypeError as error:
        pytest.fail(f"a configuration cannot be in a set or be a key: {error}")


@clause("equal")
def test_a_difference_in_one_field_is_a_difference():
    for name, value in OTHERS.items():
        because = f"{name} is {value} in one and {values()[name]} in the other, and they are equal"
        assert made(**{name: value}) != made(), because


@clause("equal")
def test_its_values_alone_are_no_configuration():
    config = made()
    assert config != tuple(values().values()), "a configuration equals the tuple of its values"
    assert config != values(), "a configuration equals the dict of its values"


@clause("replace")
def test_a_replacement_is_another_configuration():
    config = made()
    changed = dataclasses.replace(config, n_heads=4, drop_rate=0.0)
    same(given_back(changed), values(n_heads=4, drop_rate=0.0), "n_heads and drop_rate were replaced")
    same(given_back(config), values(), "another configuration was made from this one")


@clause("replace")
def test_a_replacement_that_cannot_be_built_is_refused():
    config = made()
    with refuses(ValueError, 24, 7):
        dataclasses.replace(config, n_heads=7)
    with refuses(TypeError, "n_layers", 2.5):
        dataclasses.replace(config, n_layers=2.5)
    same(given_back(config), values(), "replacements of this configuration were refused")


@clause("plain")
def test_a_dict_of_it_has_the_seven_fields():
    seen = dataclasses.asdict(made())
    same(list(seen.items()), list(values().items()), "asdict should give the seven fields, in their order")


@clause("plain")
@pytest.mark.parametrize("name", PRESETS)
def test_it_comes_back_from_json(name):
    config = GPTConfig.preset(name)
    try:
        loaded = GPTConfig(**json.loads(json.dumps(dataclasses.asdict(config))))
    except (TypeError, ValueError) as error:
        pytest.fail(f"the dict of {name}, to JSON and back, ended in a {type(error).__name__}: {error}")
    assert loaded == config, f"the dict of {name}, to JSON and back, gave another configuration: {loaded}"


@clause("copies")
def test_a_copy_equals_the_original():
    config = made()
    ways = {"copied": copy.copy, "deep-copied": copy.deepcopy}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        ways[f"pickled with protocol {protocol}"] = lambda one, by=protocol: pickle.loads(pickle.dumps(one, by))
    for how, way in ways.items():
        try:
            copied = way(config)
        except (TypeError, AttributeError, ValueError, pickle.PicklingError) as error:
            pytest.fail(f"{how}, a configuration ended in {type(error).__name__}: {error}")
        assert copied == config, f"{how}, a configuration became another one: {copied}"
        same(given_back(copied), values(), f"{how}, a configuration holds other values")


@clause("small")
def test_gpt2_small_is_the_configuration_of_124_million():
    book = {"vocab_size": 50257, "context_length": 1024, "emb_dim": 768, "n_heads": 12, "n_layers": 12}
    book |= {"drop_rate": 0.1, "qkv_bias": False}
    same(given_back(GPTConfig.preset("gpt2-small")), book, "gpt2-small was asked for")


@clause("siblings")
@pytest.mark.parametrize(
    ("name", "emb_dim", "n_heads", "n_layers"),
    [("gpt2-medium", 1024, 16, 24), ("gpt2-large", 1280, 20, 36), ("gpt2-xl", 1600, 25, 48)],
)
def test_larger_siblings_differ_in_three_fields(name, emb_dim, n_heads, n_layers):
    expected = given_back(GPTConfig.preset("gpt2-small"))
    expected |= {"emb_dim": emb_dim, "n_heads": n_heads, "n_layers": n_layers}
    same(given_back(GPTConfig.preset(name)), expected, f"{name} was asked for")


@clause("changes")
@pytest.mark.parametrize("name", PRESETS)
def test_a_change_takes_the_place_of_the_presets_value(name):
    before = given_back(GPTConfig.preset(name))
    changes = {"context_length": 256, "n_layers": 2, "drop_rate": 0.0, "qkv_bias": True}
    because = f"{name} was asked for, with {', '.join(f'{field}={value}' for field, value in changes.items())}"
    same(given_back(GPTConfig.preset(name, **changes)), {**before, **changes}, because)
    because = f"{name} was asked for without changes, after it had been with some: they should not stay"
    same(given_back(GPTConfig.preset(name)), before, because)
    assert before["n_layers"] > 2, f"{name} has {before['n_layers']} layers"


@clause("changes")
def test_changes_that_cannot_be_built_are_refused():
    GPTConfig.preset("gpt2-small", n_heads=6)
    with refuses(ValueError, 768, 7):
        GPTConfig.preset("gpt2-small", n_heads=7)
    with refuses(TypeError, "n_layers", "12"):
        GPTConfig.preset("gpt2-small", n_layers="12")
    with refuses(ValueError, "drop_rate", 10):
        GPTConfig.preset("gpt2-small", drop_rate=10)


@clause("unknown")
@pytest.mark.parametrize("name", ["gpt2-tiny", "gpt2", "small", ""])
def test_an_unknown_name_is_refused_with_those_that_there_are(name):
    assert GPTConfig.preset("gpt2-small").n_layers == 12, "gpt2-small has 12 layers"
    with refuses(ValueError, name, *PRESETS):
        GPTConfig.preset(name)


@clause("no-field")
@pytest.mark.parametrize("name", ["num_heads", "head_dim"])
def test_a_change_of_something_else_is_refused(name):
    assert GPTConfig.preset("gpt2-small").n_heads == 12, "gpt2-small has 12 heads"
    with refuses(TypeError, name):
        GPTConfig.preset("gpt2-small", **{name: 64})


@clause("class")
@pytest.mark.parametrize("name", PRESETS)
def test_a_subclass_has_presets_of_its_own_kind(name):
    class Mine(GPTConfig):
        pass

    config = Mine.preset(name)
    same(type(config).__name__, "Mine", f"{name} was asked of a subclass")
    seen = given_back(config)
    same(seen, given_back(GPTConfig.preset(name)), f"{name} was asked of a subclass")
    assert all(seen[size] for size in SIZES), f"{name} was asked of a subclass, and holds {seen}"
