"""The optimizer, clause by clause. The why: docs/pretraining/optimizer.md."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.pretraining.optimizer import AdamW, clip_grad_norm, learning_rate_at
from tests.support import both, clause, close, numbers, refuses, same

SHAPES = [(3, 4), (5,), (), (2, 1, 3), (0,)]
SETTINGS = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3}
OTHERS = {"lr": 0.5, "betas": (0.3, 0.6), "eps": 0.2, "weight_decay": 0.0}
REFUSED = [(name, value) for name in ("lr", "eps", "weight_decay") for value in (-1, -1e-9, math.nan)]
BETAS = [(1.0, 0.9), (0.9, 1.0), (-0.25, 0.9), (0.9, -0.25), (1.5, 0.9), (math.nan, 0.9), (0.9, math.nan)]
ALLOWED = {"lr": 0, "eps": 0, "weight_decay": 0, "betas": (0.0, 0.0)}
NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
CLIPPED = [0.0, 0.01, 0.5, 1.0, 2.0, 100.0, math.inf]
CONTAINERS = {
    "a list": list,
    "a tuple": tuple,
    "a generator": lambda parameters: (parameter for parameter in parameters),
    "a dict's values": lambda parameters: dict(enumerate(parameters)).values(),
}
# step, peak, minimum, warmup_steps, total_steps, and what does not fit.
NO_RATES = [
    (-1, 1.0, 0.0, 2, 10, ("step", -1)),
    (3, 1.0, 0.0, -1, 10, ("warmup_steps", -1)),
    (3, 1.0, 0.0, 11, 10, ("warmup_steps", 11, 10)),
    (3, 1.0, 0.0, 0, -6, (-6,)),
    (3, 1.0, -0.25, 2, 10, ("minimum", -0.25)),
    (3, 0.5, 0.75, 2, 10, ("minimum", 0.75, 0.5)),
    (0, 0.5, 0.75, 2, 10, ("minimum", 0.75, 0.5)),
    (99, 0.5, 0.75, 2, 10, ("minimum", 0.75, 0.5)),
    (99, -0.5, -0.75, 2, 10, ("minimum", -0.75)),
]


@st.composite
def settings_drawn(draw):
    """Settings of an optimizer, all of which change what it does within a few steps."""
    share = st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.999])
    return {
        "lr": draw(st.sampled_from([0.0, 1e-3, 0.1, 2.0])),
        "betas": (draw(share), draw(share)),
        "eps": draw(st.sampled_from([1e-8, 1e-3, 0.5])),
        "weight_decay": draw(st.sampled_from([0.0, 1e-2, 0.4])),
    }


def made(*shapes, dtype=torch.float64):
    """Parameters of these shapes, with the same numbers each time."""
    return [torch.nn.Parameter(numbers(*s, seed=f"value {i}", dtype=dtype)) for i, s in enumerate(shapes or SHAPES)]


def one(value, dtype=torch.float64):
    """A parameter that is one number, or a row of them."""
    return torch.nn.Parameter(torch.tensor(value, dtype=dtype))


def give(parameters, step, size=1.0):
    """The gradients that belong to a step: whatever the parameters have become, they are the same."""
    for index, parameter in enumerate(parameters):
        drawn = numbers(*parameter.shape, seed=f"gradient {index} of step {step}", dtype=parameter.dtype)
        parameter.grad = drawn * size


def given_one(parameter, gradient):
    parameter.grad = torch.full_like(parameter, gradient)


def alike(mine, theirs, because):
    """Assert that two lists of parameters hold the same numbers."""
    __tracebackhide__ = True
    for index, (my, their) in enumerate(zip(mine, theirs, strict=True)):
        close(my.detach(), their.detach(), f"parameter {index}, {because}", equal_nan=True)


def untouched(parameter, before, because):
    __tracebackhide__ = True
    if not torch.equal(parameter.detach(), before):
        pytest.fail(f"{before.flatten().tolist()} became {parameter.detach().flatten().tolist()}: {because}")


def state_of(optimizer, parameter, name):
    """An entry of a parameter's state, which several tests read."""
    __tracebackhide__ = True
    found = optimizer.state.get(parameter, {})
    if name not in found:
        pytest.fail(f"state[parameter] has no {name}; it has {list(found)}")
    return found[name]


def near(seen, expected, because):
    """Assert that a number is the expected one, but for the last digits of a float."""
    __tracebackhide__ = True
    if not isinstance(seen, int | float):
        pytest.fail(f"a {type(seen).__name__} came, and no number: {because}")
    if not math.isclose(seen, expected, rel_tol=1e-9, abs_tol=1e-12):
        pytest.fail(f"{both(seen, expected, '')}: {because}")


def with_gradients(*gradients, dtype=torch.float64):
    """Parameters that have these gradients; None is a parameter that has none."""
    parameters = []
    for gradient in gradients:
        values = torch.zeros(3) if gradient is None else torch.zeros_like(torch.tensor(gradient))
        parameters.append(torch.nn.Parameter(values.to(dtype)))
        parameters[-1].grad = None if gradient is None else torch.tensor(gradient, dtype=dtype)
    return parameters


def gradients_of(parameters):
    return [None if parameter.grad is None else parameter.grad.clone() for parameter in parameters]


def twins(kinds, settings, steps=3, shapes=SHAPES):
    """Two optimizers over equal parameters: the first has taken some steps, and the second has loaded its state."""
    first, second = made(*shapes), made(*shapes)
    here, there = kinds[0](first, **settings), kinds[1](second, **OTHERS)
    for step in range(steps):
        give(first, step)
        first[1].grad = first[1].grad if step else None  # it has taken a step less
        here.step()
    with torch.no_grad():
        for mine, theirs in zip(first, second, strict=True):
            theirs.copy_(mine)
    there.load_state_dict(copy.deepcopy(here.state_dict()))
    return (first, here), (second, there)


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def run(settings, steps=4, size=1.0, dtype=torch.float64, shapes=((3, 4), (5,))):
        """The parameters after some steps."""
        parameters = made(*shapes, dtype=dtype)
        optimizer = kata.AdamW(parameters, **settings)
        for step in range(steps):
            give(parameters, step, size)
            optimizer.step()
        return [parameter.detach() for parameter in parameters]

    def constant(gradient, settings, steps=4):
        """Where a number that begins as 1 goes under a gradient that stays."""
        number = one([1.0])
        optimizer = kata.AdamW([number], **settings)
        for _ in range(steps):
            given_one(number, gradient)
            optimizer.step()
            yield number.detach().clone()

    def averages(settings=OTHERS, gradients=(4.0, 2.0)):
        number = one([3.0])
        optimizer = kata.AdamW([number], **settings)
        for gradient in gradients:
            given_one(number, gradient)
            optimizer.step()
        state = optimizer.state[number]
        return [(name, state.get(name)) for name in ("exp_avg", "exp_avg_sq")], float(state.get("step", -1))

    def exact():
        """Whether three steps are those of PyTorch, roughly and to nearly all digits, and the dtypes of the state."""
        mine, theirs = made((3, 4)), made((3, 4))
        optimizer, oracle = kata.AdamW(mine, **SETTINGS), torch.optim.AdamW(theirs, **SETTINGS)
        for step in range(3):
            give(mine, step)
            give(theirs, step)
            optimizer.step()
            oracle.step()
        near = [torch.allclose(mine[0], theirs[0], rtol=bar, atol=bar) for bar in (1e-5, 1e-9)]
        return near, [str(entry.dtype) for entry in optimizer.state[mine[0]].values() if torch.is_tensor(entry)]

    def wild(value):
        number = one([1.0, 2.0, 3.0])
        optimizer = kata.AdamW([number], **SETTINGS)
        for _ in range(2):
            number.grad = torch.tensor([0.5, value, -0.5], dtype=torch.float64)
            optimizer.step()
        return number.detach()

    def groups():
        first, second, third = made((2,), (2,), (2,))
        optimizer = kata.AdamW([{"params": [first], **OTHERS}, {"params": [second], "lr": 0.2}], **SETTINGS)
        seen = []
        for step in range(4):
            give([first, second, third], step)
            if step == 2:
                optimizer.param_groups[0].update(lr=0.07, weight_decay=0.9)
            if step == 3:
                optimizer.add_param_group({"params": [third], "lr": 0.4})
            optimizer.step()
            seen += [parameter.detach().clone() for parameter in (first, second, third)]
        return seen

    def changed(**settings):
        """After the settings have changed between two steps."""
        number = one([1.0])
        optimizer = kata.AdamW([number], **SETTINGS)
        for new in ({}, settings):
            optimizer.param_groups[0].update(new)
            given_one(number, 0.5)
            optimizer.step()
        return number.detach()

    def skipping():
        here, there = made((2,), (3,))
        optimizer = kata.AdamW([here, there], **SETTINGS)
        seen = []
        for step in range(4):
            give([here, there], step)
            if step in (0, 2):
                there.grad = None
            seen.append(tried(lambda: optimizer.step() is None))
            seen += [here.detach().clone(), there.detach().clone()]
        return seen, float(optimizer.state[there].get("step", -1))

    def placed():
        number = one([1.0, 2.0])
        view, gradient = number.detach(), torch.tensor([0.5, -0.25], dtype=torch.float64)
        number.grad = gradient
        optimizer = kata.AdamW([number], **SETTINGS)
        optimizer.step()
        optimizer.step()
        return view, gradient, number.grad

    def graph():
        number, source = one([1.0, 2.0]), one([0.5, 0.25])
        optimizer = kata.AdamW([number], **SETTINGS)
        number.grad = source * 2
        came = tried(lambda: optimizer.step() is None)
        state = optimizer.state[number].values()
        return came, number.is_leaf, number.requires_grad, [s.requires_grad for s in state if torch.is_tensor(s)]

    def closures():
        number, calls = one([1.0]), []
        optimizer = kata.AdamW([number], **SETTINGS)

        def closure():
            calls.append(number.detach().clone())
            optimizer.zero_grad()
            loss = (number * 3).sum()
            calls.append(loss.requires_grad)
            loss.backward()
            return loss.item()

        given_one(number, -7.0)
        return tried(lambda: optimizer.step(closure)), calls, number.detach().clone(), tried(lambda: optimizer.step())

    def kept(dtype):
        (parameter,) = made((2, 3), dtype=dtype)
        optimizer = kata.AdamW([parameter])
        give([parameter], 0)
        optimizer.step()
        state = optimizer.state[parameter]
        return {n: (tuple(v.shape), str(v.dtype)) for n, v in state.items() if n != "step"}, float(state["step"])

    def travelled(mine, theirs):
        (_, here), (second, there) = twins((mine, theirs), SETTINGS)
        seen = []
        for step in range(3, 5):
            give(second, step)
            seen.append(tried(lambda: there.step() is None))
        return seen, [parameter.detach() for parameter in second], here.param_groups[0].get("lr")

    def exactly_travelled(mine, theirs):
        (first, here), (second, there) = twins((mine, theirs), SETTINGS)
        for parameters, optimizer in ((first, here), (second, there)):
            give(parameters, 3)
            optimizer.step()
        return [bool(((a - b).abs() < 1e-12).all()) for a, b in zip(first, second, strict=True)]

    def sparse():
        dense, table = made((2,), (7, 3))
        give([dense, table], 0)
        table.grad = table.grad.to_sparse()
        seen = tried(kata.AdamW([{"params": [dense]}, {"params": [table]}], **SETTINGS).step, "sparse", (7, 3))
        return seen, dense.detach(), table.detach()

    def refused(name, value, group):
        where = {"params": made((2,)), **({name: value} if group else {})}
        settings = {} if group else {name: value}
        bad = [v for v in value if not 0 <= v < 1] if name == "betas" else [value]
        return tried(lambda: bool(kata.AdamW([where], **settings)), "beta" if name == "betas" else name, *bad)

    def clipped(gradients, max_norm, dtype=torch.float64, kind=list):
        parameters = with_gradients(*gradients, dtype=dtype)
        norm = tried(lambda: kata.clip_grad_norm(kind(parameters), max_norm), max_norm)
        return norm, gradients_of(parameters)

    def held():
        parameters = with_gradients([3.0, 4.0])
        gradient = parameters[0].grad
        kata.clip_grad_norm(parameters, 1.0)
        return gradient

    def kept_short():
        parameters = with_gradients([0.3, 0.4])
        before = gradients_of(parameters)
        kata.clip_grad_norm(parameters, 0.7)
        return torch.equal(parameters[0].grad, before[0])

    def single():
        (parameter,) = with_gradients([[3.0, 4.0], [0.0, 12.0]])
        return tried(lambda: kata.clip_grad_norm(parameter, 6.5)), parameter.grad

    def rates(*steps, peak=8.0, minimum=2.0, warmup=4, total=10):
        seen = [tried(lambda step=step: kata.learning_rate_at(step, peak, minimum, warmup, total)) for step in steps]
        return [torch.tensor(r, dtype=torch.float64) if isinstance(r, float) else r for r in seen]

    def rate(*arguments):
        return tried(lambda: kata.learning_rate_at(*arguments[:5]), *arguments[5])

    with_torch = {
        "mine to mine": (kata.AdamW, kata.AdamW),
        "mine to torch's": (kata.AdamW, torch.optim.AdamW),
        "torch's to mine": (torch.optim.AdamW, kata.AdamW),
    }
    return {
        "example": lambda: list(constant(0.5, {"lr": 0.1, "weight_decay": 0.5}, 2)),
        "settings": lambda: run(SETTINGS),
        "other settings": lambda: run(OTHERS),
        "defaults": lambda: [[(x - 1) * 100 for x in constant(0.25, {})], list(constant(0.0, SETTINGS))],
        "float32": lambda: run(SETTINGS, dtype=torch.float32),
        "no betas": lambda: run({**SETTINGS, "betas": (0.0, 0.0)}),
        "small": lambda: run({**SETTINGS, "eps": 1e-8}, size=1e-6),
        "large": lambda: run(SETTINGS, size=1e3),
        "decay alone": lambda: list(constant(0.0, SETTINGS)),
        "no decay": lambda: list(constant(0.0, OTHERS)),
        "constant": lambda: list(constant(-3.0, {**SETTINGS, "weight_decay": 0.0, "lr": 1.0})),
        "as eps": lambda: list(constant(0.2, {**OTHERS, "lr": 1.0})),
        "averages": averages,
        "averages under decay": lambda: averages({**OTHERS, "weight_decay": 0.5, "lr": 1.0}),
        "exact": exact,
        "wild": lambda: [wild(value) for value in NOT_FINITE.values()],
        "groups": groups,
        "changed": lambda: [changed(lr=0.5), changed(weight_decay=0.9), changed(eps=2.0), changed(betas=(0.1, 0.2))],
        "skipping": skipping,
        "placed": placed,
        "graph": graph,
        "closures": closures,
        "kept": lambda: [kept(torch.float32), kept(torch.float64)],
        **{name: lambda pair=pair: travelled(*pair) for name, pair in with_torch.items()},
        **{f"{name}, exactly": lambda pair=pair: exactly_travelled(*pair) for name, pair in with_torch.items()},
        "sparse": sparse,
        "refused": lambda: [refused(*case, False) for case in [*REFUSED, *ALLOWED.items()]],
        "refused betas": lambda: [refused("betas", betas, False) for betas in BETAS],
        "refused in a group": lambda: [refused(*case, True) for case in REFUSED],
        "refused betas in a group": lambda: [refused("betas", betas, True) for betas in BETAS],
        "clipped": lambda: [clipped([[3.0, 0.0], 4.0], max_norm) for max_norm in (1.0, 2.5, 5.0, 6.0, 0.0)],
        "hardly clipped": lambda: clipped([[6e-6], [8e-6]], 2e-6)[1][0] * 1e6,
        "clipped, float32": lambda: clipped([[3.0, 0.0], 4.0], 1.0, torch.float32),
        "some": lambda: [clipped(g, 1.0) for g in ([None, [3.0, 4.0]], [[3.0, 4.0], None], [None], [])],
        "kinds": lambda: [clipped([[3.0, 4.0], [12.0]], 6.5, kind=kind) for kind in CONTAINERS.values()],
        "single": single,
        "held": held,
        "kept short": kept_short,
        "not finite": lambda: [clipped([[3.0, value], [2.0]], 1.0) for value in NOT_FINITE.values()],
        "negative": lambda: [clipped([[3.0, 4.0]], value) for value in (-1, -1e-9, math.nan)],
        "rates": lambda: rates(*range(13)),
        "rates from 0": lambda: rates(*range(13), minimum=0.0),
        "one after the other": lambda: rates(*range(8), warmup=5, total=5),
        "no warmup": lambda: rates(0, 1, 5, 9, 10, 11, warmup=0),
        "no steps": lambda: rates(0, 1, warmup=0, total=0),
        "whole": lambda: [rates(*range(5), peak=p, minimum=m, warmup=2, total=4) for p, m in ((4, 2), (3, 3), (0, 0))],
        "no rates": lambda: [rate(*case) for case in NO_RATES],
    }


@clause("example")
def test_a_first_step_computed_by_hand():
    for gradient, expected in ((0.5, 0.85), (-0.5, 1.05)):
        number = one([1.0])
        optimizer = AdamW([number], lr=0.1, weight_decay=0.5)
        given_one(number, gradient)
        optimizer.step()
        because = f"1 after a step, at lr=0.1, weight_decay=0.5, with a gradient of {gradient}: decay takes 0.05 of it"
        close(number.detach(), torch.tensor([expected], dtype=torch.float64), because, atol=1e-7)


@clause("decay")
@pytest.mark.parametrize(("lr", "weight_decay"), [(0.1, 0.5), (0.5, 0.1), (0.2, 0.0), (0.0, 0.5)])
def test_without_a_slope_a_number_shrinks_by_its_share(lr, weight_decay):
    number = one([1.0, -2.0, 0.0])
    optimizer, expected = AdamW([number], lr=lr, weight_decay=weight_decay), number.detach().clone()
    for step in range(1, 4):
        given_one(number, 0.0)
        optimizer.step()
        expected = expected * (1 - lr * weight_decay)
        close(number.detach(), expected, f"step {step} with gradients of 0, lr={lr}, weight_decay={weight_decay}")


@clause("decay")
def test_the_averages_do_not_hear_of_decay():
    number, other = one([1.0, -2.0]), one([1.0, -2.0])
    here = AdamW([number], **{**SETTINGS, "weight_decay": 0.9})
    there = AdamW([other], **{**SETTINGS, "weight_decay": 0.0})
    for step in range(3):
        for parameter, optimizer in ((number, here), (other, there)):
            give([parameter], step)
            optimizer.step()
    for name in ("exp_avg", "exp_avg_sq"):
        because = (
            f"{name} after three steps, with a weight_decay of 0.9 and with none: decay is no part of the gradient"
        )
        close(state_of(here, number, name), state_of(there, other, name), because)
    assert not torch.equal(number, other), "a weight_decay of 0.9 and none gave the same parameters"


@clause("averages")
def test_the_two_averages_computed_by_hand():
    number = one([3.0, 3.0])
    optimizer = AdamW([number], betas=(0.75, 0.25))
    for gradient, mean, square in ((4.0, 1.0, 12.0), (2.0, 1.25, 6.0), (-6.0, -0.5625, 28.5)):
        number.grad = torch.tensor([gradient, 0.0], dtype=torch.float64)
        optimizer.step()
        because = (
            f"after gradients of {gradient:g} and 0, the first the last of 4, 2, -6 so far, with betas=(0.75, 0.25)"
        )
        for name, expected in (("exp_avg", mean), ("exp_avg_sq", square)):
            wanted = torch.tensor([expected, 0.0], dtype=torch.float64)
            close(state_of(optimizer, number, name), wanted, f"{name} {because}")


@clause("correction")
@given(settings_drawn(), st.sampled_from([-1e3, -1.0, -1e-3, 1e-3, 1.0, 1e3]))
def test_under_a_gradient_that_stays_every_step_is_lr_long(settings, gradient):
    number, expected = one([1.0]), torch.tensor([1.0], dtype=torch.float64)
    optimizer = AdamW([number], **{**settings, "eps": 0, "weight_decay": 0})
    for step in range(1, 4):
        given_one(number, gradient)
        optimizer.step()
        expected = expected - math.copysign(settings["lr"], gradient)
        because = (
            f"1 after {step} steps with a gradient of {gradient:g}, {settings}, but eps and weight_decay are 0: the "
            "corrected mean of equal gradients is each of them, and so is the root of their corrected mean square"
        )
        close(number.detach(), expected, because)


@clause("eps")
@pytest.mark.parametrize("eps", [0.25, 1e-3, 1e-8])
def test_a_gradient_as_great_as_eps_goes_half_of_the_way(eps):
    number = one([1.0])
    optimizer = AdamW([number], lr=0.5, eps=eps, weight_decay=0)
    for step, expected in ((1, 0.75), (2, 0.5), (3, 0.25)):
        given_one(number, eps)
        optimizer.step()
        because = f"1 after {step} steps with lr=0.5 and a gradient as great as eps, {eps}: root and eps are equal"
        close(number.detach(), torch.tensor([expected], dtype=torch.float64), because)


@clause("agrees")
@given(settings_drawn(), st.sampled_from([torch.float64, torch.float32]), st.sampled_from([1e-6, 1.0, 1e4]))
def test_every_step_is_that_of_pytorch(settings, dtype, size):
    mine, theirs = made(dtype=dtype), made(dtype=dtype)
    optimizer, oracle = AdamW(mine, **settings), torch.optim.AdamW(theirs, **settings)
    for step in range(1, 5):
        for parameters in (mine, theirs):
            give(parameters, step, size)
        optimizer.step()
        oracle.step()
        alike(mine, theirs, f"after step {step} with gradients of about {size:g}, {settings}")


@clause("agrees")
def test_the_settings_that_are_not_named_are_those_of_pytorch():
    mine, theirs = made(), made()
    optimizer, oracle = AdamW(mine), torch.optim.AdamW(theirs)
    for step in range(1, 4):
        for parameters in (mine, theirs):
            give(parameters, step)
        optimizer.step()
        oracle.step()
        alike(mine, theirs, f"after step {step} of AdamW(parameters), with no setting named")


@clause("agrees")
@pytest.mark.parametrize("name", NOT_FINITE)
def test_what_is_not_finite_goes_the_way_it_goes_in_pytorch(name):
    mine, theirs = made((4,)), made((4,))
    optimizer, oracle = AdamW(mine, **SETTINGS), torch.optim.AdamW(theirs, **SETTINGS)
    for step in range(1, 4):
        for parameters in (mine, theirs):
            give(parameters, step)
            parameters[0].grad[1] = NOT_FINITE[name] if step == 2 else 0.5
        optimizer.step()
        oracle.step()
        alike(mine, theirs, f"after step {step}: in step 2, one of four gradients is {name}")


@clause("groups")
def test_every_group_has_its_own_settings():
    mine, theirs = made(*SHAPES[:4]), made(*SHAPES[:4])
    own = [OTHERS, {"lr": 0.2}, {"weight_decay": 0.05, "betas": (0.5, 0.5)}, {"eps": 0.4}]
    optimizer, oracle = (
        kind([{"params": [p], **more} for p, more in zip(parameters, own, strict=True)], **SETTINGS)
        for kind, parameters in ((AdamW, mine), (torch.optim.AdamW, theirs))
    )
    for step in range(1, 4):
        for parameters in (mine, theirs):
            give(parameters, step)
        optimizer.step()
        oracle.step()
        alike(mine, theirs, f"after step {step}: its group names {own}, in order, and the arguments are {SETTINGS}")


@clause("groups")
@pytest.mark.parametrize(("name", "value"), [("lr", 0.4), ("weight_decay", 0.9), ("eps", 0.7), ("betas", (0.2, 0.4))])
def test_what_is_written_into_a_group_counts_from_the_next_step(name, value):
    mine, theirs = made(), made()
    optimizer, oracle = AdamW(mine, **SETTINGS), torch.optim.AdamW(theirs, **SETTINGS)
    for step in range(1, 5):
        for parameters, one_of_them in ((mine, optimizer), (theirs, oracle)):
            give(parameters, step)
            if step == 3:
                one_of_them.param_groups[0][name] = value
            one_of_them.step()
        alike(mine, theirs, f"after step {step}: before step 3, {name} was set to {value} in param_groups[0]")


@clause("groups")
def test_a_group_that_comes_later_begins_with_its_first_step():
    mine, theirs = made(), made()
    optimizer, oracle = AdamW(mine[:2], **SETTINGS), torch.optim.AdamW(theirs[:2], **SETTINGS)
    for step in range(1, 5):
        for parameters, one_of_them in ((mine, optimizer), (theirs, oracle)):
            if step == 3:
                one_of_them.add_param_group({"params": parameters[2:], "lr": 0.2})
            give(parameters, step)
            one_of_them.step()
        alike(mine, theirs, f"after step {step}: before step 3, add_param_group() brought parameters 2, 3 and 4")


@clause("skipped")
def test_a_parameter_without_a_gradient_stays():
    learned, frozen = made((3,), (4,))
    frozen.requires_grad_(False)
    optimizer, before = AdamW([frozen, learned], **SETTINGS), frozen.detach().clone()
    for step in range(3):
        give([learned], step)
        optimizer.step()
    untouched(frozen, before, "a frozen parameter, without a gradient, was in the list of one that learned")
    assert not torch.equal(learned, made((3,))[0]), "the parameter beside a frozen one did not move"


@clause("skipped")
@pytest.mark.parametrize("without", [(1,), (2,), (2, 3), (1, 4)], ids=str)
def test_a_step_without_a_gradient_is_no_step_of_its_parameter(without):
    mine, theirs = made((3,), (4,)), made((3,), (4,))
    optimizer, oracle = AdamW(mine, **SETTINGS), torch.optim.AdamW(theirs, **SETTINGS)
    for step in range(1, 6):
        before = mine[1].detach().clone()
        for parameters in (mine, theirs):
            give(parameters, step)
            parameters[1].grad = None if step in without else parameters[1].grad
        optimizer.step()
        oracle.step()
        if step in without:
            untouched(mine[1], before, f"its gradient was None in step {step}")
        alike(mine, theirs, f"after step {step}: parameter 1 had no gradient in {without}, and t counts its own steps")


@clause("in-place")
def test_the_numbers_change_where_they_lie():
    number = one([1.0, 2.0])
    view, optimizer = number.detach(), AdamW([number], **SETTINGS)
    for step in range(2):
        before = view.clone()
        give([number], step)
        optimizer.step()
        assert not torch.equal(view, before), f"step {step + 1} wrote the numbers elsewhere: a view of them saw nothing"
        close(view, number.detach(), "a view of the parameter's numbers, after a step")


@clause("in-place")
def test_the_gradients_stay():
    parameters = made()
    optimizer = AdamW(parameters, **SETTINGS)
    for step in range(3):
        give(parameters, step, size=10.0)
        given_ones, before = [p.grad for p in parameters], gradients_of(parameters)
        optimizer.step()
        for parameter, gradient, then in zip(parameters, given_ones, before, strict=True):
            untouched(gradient, then, f"a gradient, of shape {tuple(gradient.shape)}, after step {step + 1}")
            assert parameter.grad is gradient, f"step {step + 1} put another gradient in the place of the given one"


@clause("in-place")
def test_a_step_belongs_to_no_graph():
    number, source = one([1.0, 2.0]), one([0.5, 0.25])
    optimizer = AdamW([number], **SETTINGS)
    for step in (1, 2):
        number.grad = source * 2  # as after backward(create_graph=True)
        optimizer.step()
        assert number.is_leaf, f"after step {step}, the parameter has become the result of an operation"
        assert number.requires_grad, f"after step {step}, the parameter no longer asks for gradients"
        for name in ("exp_avg", "exp_avg_sq"):
            kept = state_of(optimizer, number, name)
            assert not kept.requires_grad, f"after step {step}, {name} belongs to a graph that grows with every step"


@clause("in-place")
def test_a_line_is_found():
    line = torch.nn.Linear(1, 1).double()
    optimizer, x = (
        AdamW(line.parameters(), lr=0.1, weight_decay=0),
        torch.tensor([[-1.0], [0.0], [1.0], [2.0]]).double(),
    )
    for _ in range(300):
        optimizer.zero_grad()
        loss = (line(x) - (2 * x - 1)).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3, f"after 300 steps towards the line 2 x - 1, the mean squared error is {loss.item():.3g}"


@clause("closure")
def test_a_closure_is_called_before_the_step_and_its_loss_returned():
    number, calls = one([1.0]), []
    optimizer = AdamW([number], lr=0.1, weight_decay=0)

    def closure():
        calls.append(number.item())
        optimizer.zero_grad()
        loss = (number * 3).sum()
        assert loss.requires_grad, "in the closure, gradients are switched off: backward() would fail"
        loss.backward()
        return loss

    given_one(number, -7.0)  # of an earlier time: the closure clears it
    came = optimizer.step(closure)
    same(calls, [1.0], "what the parameter was at each call of the closure: one call, before the step")
    assert torch.is_tensor(came), f"step(closure) returned {came!r}, and the closure its loss"
    close(came.detach(), torch.tensor(3.0, dtype=torch.float64), "what step(closure) returned")
    close(number.detach(), torch.tensor([0.9], dtype=torch.float64), "1 after a step at lr=0.1", atol=1e-7)
    came = optimizer.step(lambda: 7)
    assert came == 7, f"step(closure) returned {came!r}, and the closure 7"
    came = optimizer.step()
    assert came is None, f"step() returned {came!r}, expected None"


@clause("state")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=lambda dtype: str(dtype)[6:])
def test_the_averages_have_the_shape_and_the_dtype_of_their_parameter(dtype):
    parameters = made(dtype=dtype)
    optimizer = AdamW(parameters)
    for step in range(1, 4):
        give(parameters, step)
        optimizer.step()
        for parameter in parameters:
            for name in ("exp_avg", "exp_avg_sq"):
                kept = state_of(optimizer, parameter, name)
                because = f"{name} of a parameter of shape {tuple(parameter.shape)} and {dtype}"
                same((tuple(kept.shape), kept.dtype), (tuple(parameter.shape), dtype), because)
            counted = state_of(optimizer, parameter, "step")
            assert not getattr(counted, "shape", ()), f"step has the shape {tuple(counted.shape)}, expected no axes"
            near(float(counted), step, "step counts the steps of its parameter")


@clause("travels")
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [("AdamW", "AdamW"), ("AdamW", "torch.optim.AdamW"), ("torch.optim.AdamW", "AdamW")],
)
def test_a_state_dict_goes_on_elsewhere_exactly_as_here(mine, theirs):
    kinds = {"AdamW": AdamW, "torch.optim.AdamW": torch.optim.AdamW}
    (first, here), (second, there) = twins((kinds[mine], kinds[theirs]), SETTINGS)
    for step in range(3, 7):
        for parameters, optimizer in ((first, here), (second, there)):
            give(parameters, step)
            optimizer.step()
        because = (
            f"after step {step + 1}: after step 3, {theirs} loaded the state of {mine}; t, both averages and the "
            "settings travel, and step may come as a float32 tensor, in which 1 - beta ** t loses its digits"
        )
        alike(second, first, because)


@clause("sparse")
def test_a_sparse_gradient_is_refused_and_nothing_has_moved():
    dense, table = made((2,), (7, 3))
    give([dense, table], 0)
    table.grad = table.grad.to_sparse()
    optimizer = AdamW([{"params": [dense]}, {"params": [table]}], **SETTINGS)
    before = dense.detach().clone(), table.detach().clone()
    with refuses(RuntimeError, "sparse", (7, 3)):
        optimizer.step()
    untouched(dense, before[0], "a parameter of another group, when a sparse gradient was refused")
    untouched(table, before[1], "the parameter whose sparse gradient was refused")


@clause("settings")
@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_what_is_not_at_least_0_is_refused(name, value):
    with refuses(ValueError, name, value):
        AdamW(made(), **{name: value})
    with refuses(ValueError, name, value):
        AdamW([{"params": made()}, {"params": made((2,)), name: value}])


@clause("settings")
@pytest.mark.parametrize("betas", BETAS, ids=str)
def test_a_beta_that_is_no_share_is_refused(betas):
    wrong = next(beta for beta in betas if not 0 <= beta < 1)
    with refuses(ValueError, "beta", wrong):
        AdamW(made(), betas=betas)
    with refuses(ValueError, "beta", wrong):
        AdamW([{"params": made()}, {"params": made((2,)), "betas": betas}])


@clause("settings")
@pytest.mark.parametrize("name", ALLOWED)
def test_a_setting_of_0_is_allowed(name):
    parameters = made((2, 3))
    try:
        optimizer = AdamW(parameters, **{name: ALLOWED[name]})
    except ValueError as error:
        pytest.fail(f"{name}={ALLOWED[name]} was refused: {error}")
    give(parameters, 0)
    optimizer.step()
    assert (name == "lr") == torch.equal(parameters[0], made((2, 3))[0]), f"a step with {name}={ALLOWED[name]}"


@clause("clip")
def test_gradients_are_shortened_together_computed_by_hand():
    parameters = with_gradients([3.0, 0.0], 4.0)
    clip_grad_norm(parameters, 1.0)
    told = "3, 0 and 4 have the norm 5, and max_norm is 1"
    close(parameters[0].grad, torch.tensor([0.6, 0.0], dtype=torch.float64), told, atol=1e-6)
    close(parameters[1].grad, torch.tensor(0.8, dtype=torch.float64), told, atol=1e-6)


@clause("clip")
@given(
    st.sampled_from(CLIPPED), st.sampled_from([1e-7, 1e-3, 1.0, 1e3]), st.sampled_from([torch.float64, torch.float32])
)
def test_gradients_become_those_of_pytorch(max_norm, size, dtype):
    mine, theirs = made(dtype=dtype), made(dtype=dtype)
    for parameters in (mine, theirs):
        give(parameters, 0, size)
    held = [parameter.grad for parameter in mine]
    clip_grad_norm(mine, max_norm)
    torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    for gradient, parameter in zip(held, theirs, strict=True):
        because = f"gradients of about {size:g}, in the tensors that were handed over, after max_norm={max_norm}"
        close(gradient, parameter.grad, because, atol=1e-12)


@clause("clip")
def test_gradients_that_are_short_enough_stay():
    for dtype in (torch.float32, torch.float64):
        parameters = with_gradients([0.3, 0.4], 0.1, dtype=dtype)
        before = gradients_of(parameters)
        clip_grad_norm(parameters, 0.7)
        for parameter, then in zip(parameters, before, strict=True):
            untouched(parameter.grad, then, "the norm of 0.3, 0.4 and 0.1 is below the max_norm of 0.7")


@clause("norm")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=lambda dtype: str(dtype)[6:])
@pytest.mark.parametrize("max_norm", [1.0, 50.0])
def test_the_result_is_the_norm_before(max_norm, dtype):
    parameters = with_gradients([[3.0, 4.0], [0.0, 0.0]], [12.0], 0.0, dtype=dtype)
    seen = clip_grad_norm(parameters, max_norm)
    told = f"the norm of 3, 4 and 12, in two tensors, max_norm={max_norm}: the root of the sum of all squares"
    close(seen, torch.tensor(13.0, dtype=dtype), told)


@clause("whose")
@pytest.mark.parametrize("name", CONTAINERS)
def test_parameters_come_in_any_container(name):
    parameters = with_gradients([3.0, 4.0], [12.0])
    seen = clip_grad_norm(CONTAINERS[name](parameters), 6.5)
    close(seen, torch.tensor(13.0, dtype=torch.float64), f"the norm of 3, 4 and 12, in {name}")
    for parameter, expected in zip(parameters, ([1.5, 2.0], [6.0]), strict=True):
        close(parameter.grad, torch.tensor(expected).double(), f"half of 3, 4 and 12, in {name}", atol=1e-5)


@clause("whose")
def test_a_single_tensor_is_a_parameter():
    (parameter,) = with_gradients([[3.0, 4.0], [0.0, 12.0]])
    seen = clip_grad_norm(parameter, 6.5)
    close(seen, torch.tensor(13.0, dtype=torch.float64), "one parameter, not in a list: 3, 4, 0 and 12")
    expected = torch.tensor([[1.5, 2.0], [0.0, 6.0]], dtype=torch.float64)
    close(parameter.grad, expected, "one parameter, not in a list: half of 3, 4, 0 and 12", atol=1e-5)


@clause("whose")
@pytest.mark.parametrize("gradients", [[None, [3.0, 4.0]], [[3.0, 4.0], None], [None], []], ids=str)
def test_a_parameter_without_a_gradient_takes_no_part(gradients):
    parameters = with_gradients(*gradients)
    seen = clip_grad_norm(parameters, 2.5)
    expected = 5.0 if [3.0, 4.0] in gradients else 0.0
    assert torch.is_tensor(seen), f"gradients {gradients}: {seen!r} came, and no tensor"
    near(seen.item(), expected, f"the norm of gradients {gradients}, where None is a parameter that has none")
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            assert parameter.grad is None, f"a parameter without a gradient was given {parameter.grad}"
        else:
            close(parameter.grad, torch.tensor([1.5, 2.0]).double(), f"half of {gradient}", atol=1e-5)


@clause("not-finite")
@pytest.mark.parametrize("name", NOT_FINITE)
def test_a_norm_that_is_not_finite_is_taken_as_it_is(name):
    parameters = with_gradients([3.0, NOT_FINITE[name]], [2.0])
    seen = clip_grad_norm(parameters, 1.0)
    norm = math.nan if name == "nan" else math.inf
    close(seen, torch.tensor(norm, dtype=torch.float64), f"the norm of 3, {name} and 2", equal_nan=True)
    finite = math.nan if name == "nan" else 0.0
    for parameter, expected in zip(parameters, ([finite, math.nan], [finite]), strict=True):
        because = f"3, {name} and 2 with max_norm=1: each times 1 / {norm}"
        close(parameter.grad, torch.tensor(expected, dtype=torch.float64), because, equal_nan=True)


@clause("negative")
@pytest.mark.parametrize("max_norm", [-1, -1e-9, math.nan])
def test_a_max_norm_below_0_is_refused(max_norm):
    parameters = with_gradients([3.0, 4.0])
    before = parameters[0].grad.clone()
    with refuses(ValueError, max_norm):
        clip_grad_norm(parameters, max_norm)
    untouched(parameters[0].grad, before, f"a gradient, when a max_norm of {max_norm} was refused")
    with refuses(ValueError, max_norm):
        clip_grad_norm([], max_norm)


@clause("warmup")
@given(st.integers(1, 50), st.integers(0, 50), st.sampled_from([1e-4, 0.5, 3]), st.sampled_from([0.0, 0.25, 1.0]))
def test_the_rate_begins_at_0_and_rises_in_a_line(warmup_steps, more, peak, share):
    for step in range(warmup_steps):
        seen = learning_rate_at(step, peak, peak * share, warmup_steps, warmup_steps + more)
        because = f"step {step} of {warmup_steps} warmup_steps, peak={peak}, minimum={peak * share}"
        near(seen, peak * step / warmup_steps, because)
        assert type(seen) is float, f"{because}: {seen!r} came, no float"


@clause("cosine")
def test_the_fall_computed_by_hand():
    for step, expected in ((4, 8.0), (6, 6.5), (7, 5.0), (8, 3.5), (10, 2.0)):
        seen = learning_rate_at(step, 8.0, 2.0, 4, 10)
        near(seen, expected, f"step {step}, peak=8, minimum=2, warmup_steps=4, total_steps=10")


@clause("cosine")
@given(st.integers(0, 40), st.integers(1, 40), st.sampled_from([(1e-3, 0.0), (0.5, 0.125), (2, 2), (4, 1)]))
def test_the_fall_is_half_a_wave(warmup_steps, falling, ends):
    peak, minimum = ends
    for gone in range(falling):
        seen = learning_rate_at(warmup_steps + gone, peak, minimum, warmup_steps, warmup_steps + falling)
        because = f"{gone} of {falling} steps after {warmup_steps} warmup_steps, peak={peak}, minimum={minimum}"
        # The same curve with a sine of half of the angle, from the bottom.
        near(seen, peak - (peak - minimum) * math.sin(math.pi * gone / falling / 2) ** 2, because)
        assert type(seen) is float, f"{because}: {seen!r} came, no float"


@clause("after")
@pytest.mark.parametrize(("warmup_steps", "total_steps"), [(0, 10), (4, 10), (10, 10)])
@pytest.mark.parametrize(("peak", "minimum"), [(8.0, 2.0), (8, 2), (1.0, 0.0), (3, 3)])
def test_the_end_is_the_minimum(peak, minimum, warmup_steps, total_steps):
    for step in (10, 11, 13, 20, 1_000_000):
        seen = learning_rate_at(step, peak, minimum, warmup_steps, total_steps)
        because = f"step {step}, peak={peak}, minimum={minimum}, warmup_steps={warmup_steps}, total_steps={total_steps}"
        near(seen, minimum, because)
        assert type(seen) is float, f"{because}: {seen!r} came, no float"


@clause("nothing")
def test_there_need_be_no_warmup_and_no_steps():
    cases = [(0, 0, 10, 8.0), (5, 0, 10, 5.0), (10, 0, 10, 2.0), (0, 0, 0, 2.0), (3, 0, 0, 2.0), (0, 0, 1, 8.0)]
    for step, warmup_steps, total_steps, expected in cases:
        because = f"step {step}, warmup_steps={warmup_steps}, total_steps={total_steps}, peak=8, minimum=2"
        try:
            seen = learning_rate_at(step, 8.0, 2.0, warmup_steps, total_steps)
        except (ArithmeticError, ValueError) as error:
            pytest.fail(f"{because}: {type(error).__name__}: {error}")
        near(seen, expected, because)


@clause("refused")
@pytest.mark.parametrize("case", NO_RATES, ids=str)
def test_what_does_not_fit_is_refused(case):
    *arguments, named = case
    with refuses(ValueError, *named):
        learning_rate_at(*arguments)


@clause("refused")
@pytest.mark.parametrize("arguments", [(0, 1.0, 1.0, 0, 1), (0, 0.0, 0.0, 0, 0), (3, 1.0, 0.0, 3, 3), (0, 2, 1, 1, 1)])
def test_the_edges_are_not_refused(arguments):
    try:
        seen = learning_rate_at(*arguments)
    except ValueError as error:
        pytest.fail(f"step, peak, minimum, warmup_steps, total_steps = {arguments}: {error}")
    assert 0 <= seen <= arguments[1], f"step, peak, minimum, warmup_steps, total_steps = {arguments} gave {seen}"
