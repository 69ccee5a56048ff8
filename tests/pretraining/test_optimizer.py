"""The optimizer, clause by clause. The why: docs/pretraining/optimizer.md."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.pretraining.optimizer import AdamW
from tests.probes import tried
from tests.support import clause, close, numbers, refuses, same

SHAPES = [(3, 4), (5,), (), (2, 1, 3)]
SETTINGS = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3}
OTHERS = {"lr": 0.5, "betas": (0.3, 0.6), "eps": 0.2, "weight_decay": 0.0}
REFUSED = [("lr", -1), ("eps", -1e-9), ("weight_decay", -0.5), ("betas", (0.9, 1.0)), ("betas", (-0.25, 0.9))]
WAYS = {
    "AdamW to AdamW": (AdamW, AdamW),
    "AdamW to torch.optim.AdamW": (AdamW, torch.optim.AdamW),
    "torch.optim.AdamW to AdamW": (torch.optim.AdamW, AdamW),
}


def made(*shapes, dtype=torch.float32):
    """Parameters of these shapes, with the same numbers each time."""
    return [torch.nn.Parameter(numbers(*s, seed=f"value {i}", dtype=dtype)) for i, s in enumerate(shapes or SHAPES)]


def give(parameters, step):
    """The gradients of a step, which do not depend on the parameters."""
    for index, parameter in enumerate(parameters):
        parameter.grad = numbers(*parameter.shape, seed=f"gradient {index} of step {step}", dtype=parameter.dtype)


def walk(start, gradients, kind=None, **settings):
    """The values of one parameter after each of these gradients; None is a step without a gradient."""
    parameter = torch.nn.Parameter(torch.tensor(start))
    optimizer = (kind or AdamW)([parameter], **settings)
    values = []
    for gradient in gradients:
        parameter.grad = None if gradient is None else torch.tensor(gradient)
        optimizer.step()
        values.append(parameter.detach().clone())
    return torch.stack(values)


def trained(kind, steps=4, dtype=torch.float64, **settings):
    """Parameters after some steps, and their optimizer."""
    parameters = made(dtype=dtype)
    optimizer = kind(parameters, **settings)
    for step in range(steps):
        give(parameters, step)
        optimizer.step()
    return parameters, optimizer


def copied(mine, theirs):
    """A trained optimizer of the first kind, and one of the second kind that has loaded its parameters and state."""
    (first, here), second = trained(mine, **SETTINGS), made(dtype=torch.float64)
    there = theirs(second, **OTHERS)
    with torch.no_grad():
        for parameter, value in zip(second, first, strict=True):
            parameter.copy_(value)
    there.load_state_dict(copy.deepcopy(here.state_dict()))
    return (first, here), (second, there)


def grouped(kind=None):
    """Two groups that differ from the arguments in a setting each, and then have their settings changed."""
    first, second = (torch.nn.Parameter(torch.tensor(1.0)) for _ in range(2))
    groups = [{"params": [first], "lr": 0.02}, {"params": [second], "weight_decay": 0.0}]
    optimizer = (kind or AdamW)(groups, lr=0.01, weight_decay=0.5)
    values = []
    for changed in ({}, {"lr": 0.04}, {"weight_decay": 2.0}):
        optimizer.param_groups[1].update(changed)
        first.grad, second.grad = torch.tensor(0.5), torch.tensor(-0.25)
        optimizer.step()
        values.append([first.item(), second.item()])
    return values


def fitted(kind=None):
    """The mean squared error of a linear layer that was trained on the line 2 x - 1."""
    line, x = torch.nn.Linear(1, 1), torch.tensor([[-1.0], [0.0], [1.0], [2.0]])
    torch.nn.init.zeros_(line.weight)
    torch.nn.init.zeros_(line.bias)
    optimizer = (kind or AdamW)(line.parameters(), lr=0.1, weight_decay=0.0)
    for _ in range(150):
        optimizer.zero_grad()
        loss = (line(x) - (2 * x - 1)).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item()


def with_closure(kind=None):
    """What a step with a closure returned, the values that the closure saw, and the value afterwards."""
    parameter, seen = torch.nn.Parameter(torch.tensor(1.0)), []
    optimizer = (kind or AdamW)([parameter], lr=0.1, weight_decay=0.0)
    parameter.grad = torch.tensor(-7.0)  # of an earlier batch: the closure clears it

    def closure():
        seen.append(parameter.item())
        optimizer.zero_grad()
        loss = 3 * parameter
        assert loss.requires_grad, "gradients are disabled while the closure runs, so its backward() fails"
        loss.backward()
        return loss.item()

    return optimizer.step(closure), seen, parameter.item()


def probe(kata):
    """Small cases on which the known mistakes differ."""
    kind = kata.AdamW
    wide = {"lr": 1.0, "weight_decay": 0.0}

    def parameters(dtype=torch.float64, **settings):
        return [value.detach() for value in trained(kind, dtype=dtype, **settings)[0]]

    def states(dtype=torch.float32):
        (parameter, *_), optimizer = trained(kind, dtype=dtype)
        return parameter, optimizer.state[parameter]

    def view():
        (parameter,) = made((2,))
        seen, optimizer = parameter.detach(), kind([parameter], **SETTINGS)
        give([parameter], 0)
        optimizer.step()
        return torch.equal(seen, parameter.detach())

    def gradient():
        (parameter,) = made((2,))
        give([parameter], 0)
        kind([parameter], **SETTINGS).step()
        return parameter.grad

    def precise():
        theirs = trained(torch.optim.AdamW, **SETTINGS)[0]
        return [torch.allclose(a, b, rtol=1e-9) for a, b in zip(parameters(**SETTINGS), theirs, strict=True)]

    def loaded(way):
        mine, theirs = (kind if one is AdamW else one for one in WAYS[way])
        _, (second, there) = copied(mine, theirs)
        give(second, 4)
        there.step()
        return second[0].detach()

    def sparse():
        (table,) = made((7, 3))
        give([table], 0)
        table.grad = table.grad.to_sparse()
        try:
            kind([table], **SETTINGS).step()
        except RuntimeError as error:
            return str((7, 3)) in str(error)
        return table.detach()

    def refused(name, value):
        try:
            kind(made((2,)), **{name: value})
        except ValueError as error:
            return name in str(error)
        return "accepted"

    return {
        "first step": lambda: walk([1.0], [[0.5]], kind, lr=0.1, weight_decay=0.5),
        "m": lambda: walk([0.0], [[4.0]] * 25 + [[2.0]], kind, betas=(0.25, 0.0), **wide).diff(dim=0)[-1],
        "v": lambda: walk([0.0], [[4.0]] * 25 + [[2.0]], kind, betas=(0.0, 0.25), **wide).diff(dim=0)[-1],
        "v of two": lambda: walk([0.0, 0.0], [[4.0, 1.0]], kind, betas=(0.0, 0.25), **wide),
        "first steps": lambda: walk([0.0], [[-3.0]] * 3, kind, **wide),
        "changing gradients": lambda: walk([0.0], [[4.0], [2.0], [-6.0]], kind, betas=(0.8, 0.9), **wide),
        "large eps": lambda: walk([0.0], [[3.0]], kind, betas=(0.0, 0.0), eps=1.0, **wide),
        "eps of first steps": lambda: walk([0.0], [[1e-8]] * 2, kind, **wide),
        "decay alone": lambda: walk([1.0], [[0.0]] * 2, kind, lr=0.1, weight_decay=0.5),
        "decay beside a gradient": lambda: walk([1.0], [[0.25], [0.5]], kind, lr=0.1, weight_decay=0.9),
        "all settings": lambda: parameters(**SETTINGS),
        "defaults": lambda: 100 * parameters()[0],
        "groups": lambda: grouped(kind),
        "no gradient at first": lambda: tried(lambda: walk([1.0], [None], kind, **SETTINGS)),
        "no gradient later": lambda: walk([1.0], [[0.5], None, [0.5]], kind, **SETTINGS),
        "fit": lambda: fitted(kind) < 1e-3,
        "precise": precise,
        "view": view,
        "gradient": gradient,
        "closure's result": lambda: tried(lambda: with_closure(kind)[0]),
        "closure's calls": lambda: with_closure(kind)[1:],
        "no closure": lambda: walk([1.0], [[0.5]], kind) is not None and kind(made((2,))).step(),
        "state": lambda: sorted(states()[1]),
        "state's dtype": lambda: [
            str(v.dtype) for v in states(torch.float64)[1].values() if torch.is_tensor(v) and v.ndim
        ],
        **{way: lambda way=way: loaded(way) for way in WAYS},
        "sparse": sparse,
        **{f"{name} {value}": lambda case=(name, value): refused(*case) for name, value in REFUSED},
        **{f"{name} 0": lambda name=name: refused(name, 0) for name in ("lr", "eps", "weight_decay")},
        "betas 0": lambda: refused("betas", (0.0, 0.0)),
    }


@clause("example")
def test_a_first_step_computed_by_hand():
    for gradient, expected in ((0.5, 0.985), (-0.5, 1.005)):
        seen = walk([1.0], [[gradient]], lr=0.01, weight_decay=0.5)
        because = f"1 after one step with the gradient {gradient}, lr=0.01 and weight_decay=0.5"
        # The tolerance leaves open whether decay comes before or after the rest, which makes 0.00005 here.
        close(seen, torch.tensor([[expected]]), because, rtol=0, atol=1e-4)


@clause("averages")
def test_m_is_the_running_average_of_the_gradients():
    # After 25 equal gradients the correction no longer matters; with beta2 = 0, sqrt(v) is the last gradient's size.
    steps = walk([0.0, 0.0], [[4.0, 1.0]] * 25 + [[2.0, -1.0]], lr=1.0, betas=(0.25, 0.0), weight_decay=0.0)
    because = (
        "the last step, after 25 gradients of 4 and 1 and then one of 2 and -1, with betas=(0.25, 0) and lr=1: m is "
        "0.25 * 4 + 0.75 * 2 = 2.5 and 0.25 * 1 - 0.75 * 1 = -0.5, sqrt(v) is 2 and 1"
    )
    close(steps[-1] - steps[-2], torch.tensor([-1.25, 0.5]), because, atol=1e-4)


@clause("averages")
def test_v_is_the_running_average_of_the_squares():
    steps = walk([0.0, 0.0], [[4.0, 1.0]] * 25 + [[2.0, -1.0]], lr=1.0, betas=(0.0, 0.25), weight_decay=0.0)
    because = (
        "the last step, after 25 gradients of 4 and 1 and then one of 2 and -1, with betas=(0, 0.25) and lr=1: m is 2 "
        "and -1, v is 0.25 * 16 + 0.75 * 4 = 7 and 1"
    )
    close(steps[-1] - steps[-2], torch.tensor([-2 / 7**0.5, 1.0]), because, atol=1e-4)


@clause("correction")
@pytest.mark.parametrize("betas", [(0.9, 0.0), (0.0, 0.999), (0.9, 0.999)], ids=str)
def test_with_a_constant_gradient_every_step_has_the_length_lr(betas):
    for gradient in (-3.0, 0.5, 100.0):
        seen = walk([0.0], [[gradient]] * 4, lr=1.0, betas=betas, weight_decay=0.0)
        expected = -torch.arange(1.0, 5).copysign(torch.tensor(gradient))[:, None]
        because = (
            f"0 after each step with the gradient {gradient:g}, betas={betas} and lr=1: the average of equal gradients "
            "is that gradient, from the first step on"
        )
        close(seen, expected, because)


@clause("update")
def test_one_update_computed_by_hand():
    seen = walk([0.0] * 4, [[1.0, 3.0, -0.5, 0.0]], lr=0.5, betas=(0.0, 0.0), eps=1.0, weight_decay=0.0)
    because = (
        "0 after one step with lr=0.5, betas=(0, 0), eps=1: each number changes by -0.5 * gradient / (|gradient| + 1)"
    )
    close(seen, torch.tensor([[-0.25, -0.375, 0.5 / 3, 0.0]]), because)


@clause("update")
@given(st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([0.0, 0.5, 0.999]))
def test_several_updates_are_those_of_pytorch(beta1, beta2):
    gradients = [numbers(6, seed=step).tolist() for step in range(4)]
    settings = {"lr": 1.0, "betas": (beta1, beta2), "weight_decay": 0.0}
    expected = walk([0.0] * 6, gradients, torch.optim.AdamW, **settings)
    close(
        walk([0.0] * 6, gradients, **settings), expected, f"six numbers after each of four steps, {settings}", rtol=1e-3
    )


@clause("decay")
@pytest.mark.parametrize(("lr", "weight_decay"), [(0.1, 0.5), (0.5, 0.1), (0.2, 0.0), (0.0, 0.5)])
def test_with_a_gradient_of_0_a_parameter_shrinks_by_its_share(lr, weight_decay):
    seen = walk([1.0, -2.0, 0.0], [[0.0, 0.0, 0.0]] * 3, lr=lr, weight_decay=weight_decay)
    expected = torch.tensor([1.0, -2.0, 0.0]) * torch.tensor([(1 - lr * weight_decay) ** t for t in (1, 2, 3)])[:, None]
    close(seen, expected, f"1, -2 and 0 after each step with gradients of 0, lr={lr}, weight_decay={weight_decay}")


@clause("decay")
def test_decay_does_not_change_the_averages():
    gradients = [numbers(6, seed=step).tolist() for step in range(5)]
    plain, decayed = (walk([1.0] * 6, gradients, lr=0.001, weight_decay=decay) for decay in (0.0, 0.5))
    because = (
        "what weight_decay=0.5 took from 1 in each of five steps, with lr=0.001: about lr * 0.5 of the parameter each "
        "time, since decay is no part of the gradient that is averaged"
    )
    expected = torch.tensor([0.0005 * t for t in range(1, 6)])[:, None].expand(5, 6)
    close(plain - decayed, expected, because, rtol=0, atol=3e-5)


@clause("groups")
def test_each_group_uses_the_settings_that_it_has_now():
    seen = torch.tensor(grouped())
    # Each step takes lr * (weight_decay * value + the gradient's sign); the tolerance leaves the order of the two open.
    expected = torch.tensor([[0.97, 1.01], [0.9403, 1.05], [0.9109, 1.006]])
    because = (
        "two parameters of 1 after each of three steps with gradients of 0.5 and -0.25. The arguments are lr=0.01 and "
        "weight_decay=0.5; the first group has lr=0.02; the second has weight_decay=0, lr=0.04 from step 2 on and "
        "weight_decay=2 from step 3 on"
    )
    close(seen, expected, because, rtol=0, atol=5e-3)


@clause("no-gradient")
def test_a_parameter_without_a_gradient_does_not_change():
    learned, frozen = made((3,), (4,))
    frozen.requires_grad_(False)
    optimizer, before = AdamW([frozen, learned], **SETTINGS), [frozen.clone(), learned.detach().clone()]
    for step in range(3):
        give([learned], step)
        optimizer.step()
    close(frozen, before[0], "a frozen parameter, whose grad is None, after three steps")
    assert not torch.equal(learned, before[1]), "the parameter beside a frozen one did not change"


@clause("trains")
def test_a_line_is_fitted():
    loss = fitted()
    assert loss < 1e-3, f"after 150 steps towards the line 2 x - 1, the mean squared error is {loss:.3g}, expected 0"


@clause("exact")
@pytest.mark.parametrize("settings", [SETTINGS, OTHERS, {}], ids=["all settings", "other settings", "defaults"])
def test_the_parameters_are_those_of_pytorch(settings):
    (mine, _), (theirs, _) = trained(AdamW, **settings), trained(torch.optim.AdamW, **settings)
    for index, (my, their) in enumerate(zip(mine, theirs, strict=True)):
        because = f"parameter {index} after four steps of AdamW(parameters, **{settings}), beside torch.optim.AdamW"
        close(my.detach(), their.detach(), because)


@clause("exact")
def test_groups_are_those_of_pytorch():
    results = []
    for kind in (AdamW, torch.optim.AdamW):
        parameters = made(dtype=torch.float64)
        own = ({"betas": (0.5, 0.5)}, {"eps": 0.4}, OTHERS, {})
        optimizer = kind([{"params": [p], **more} for p, more in zip(parameters, own, strict=True)], **SETTINGS)
        for step in range(3):
            give(parameters, step)
            optimizer.step()
        results.append([parameter.detach() for parameter in parameters])
    for index, (my, their) in enumerate(zip(*results, strict=True)):
        close(my, their, f"the parameter of group {index} after three steps; the groups set {own}")


@clause("own-steps")
def test_a_step_without_a_gradient_does_not_count():
    seen = walk([1.0], [[0.5], None, [0.5], None, None, [-0.25]], **SETTINGS)
    expected = walk([1.0], [[0.5], [0.5], [-0.25]], **SETTINGS)
    because = "the gradients were 0.5, None, 0.5, None, None, -0.25: as if they had been 0.5, 0.5, -0.25"
    close(seen[[0, 2, 5]], expected, because)
    close(seen[[1, 3, 4]], seen[[0, 2, 2]], "the parameter after a step with None changed")


@clause("in-place")
def test_the_numbers_change_where_they_are():
    (parameter,) = made((2,))
    view, optimizer = parameter.detach(), AdamW([parameter], **SETTINGS)
    for step in range(2):
        before = view.clone()
        give([parameter], step)
        optimizer.step()
        assert not torch.equal(view, before), (
            f"step {step + 1} wrote the new numbers elsewhere: a view has the old ones"
        )


@clause("gradients")
def test_the_gradients_do_not_change():
    parameters = made()
    optimizer = AdamW(parameters, **SETTINGS)
    give(parameters, 0)
    before = [parameter.grad.clone() for parameter in parameters]
    optimizer.step()
    for parameter, gradient in zip(parameters, before, strict=True):
        close(parameter.grad, gradient, f"the gradient of a parameter of shape {tuple(parameter.shape)} after a step")


@clause("closure")
def test_a_closure_is_called_before_the_update_and_its_result_returned():
    result, seen, value = with_closure()
    same(seen, [1.0], "the parameter at each call of the closure, expected one call before the update")
    assert abs(value - 0.9) < 1e-6, (
        f"1 became {value} in a step with lr=0.1 and the closure's gradient of 3, expected 0.9"
    )
    assert result == 3, f"step(closure) returned {result!r}, expected the closure's result, 3"
    result = AdamW(made((2,))).step()
    assert result is None, f"step() returned {result!r}, expected None"


@clause("state")
def test_the_state_has_the_names_of_pytorch():
    for parameters, optimizer in (trained(AdamW, steps=1), trained(AdamW, steps=3)):
        state = optimizer.state[parameters[0]]
        missing = {"exp_avg", "exp_avg_sq", "step"} - state.keys()
        assert not missing, f"state[parameter] has {sorted(state)}, and lacks {', '.join(sorted(missing))}"
    assert float(state["step"]) == 3, f"step is {state['step']} after three steps"


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_the_averages_have_the_dtype_of_the_parameter(dtype):
    parameters, optimizer = trained(AdamW, dtype=dtype)
    found = {one.dtype for p in parameters for one in optimizer.state[p].values() if torch.is_tensor(one) and one.ndim}
    assert found == {dtype}, f"the parameters are {dtype}, the averages are {found or 'not in state[parameter]'}"


@clause("state-dict")
@pytest.mark.parametrize("way", WAYS)
def test_training_goes_on_after_a_state_dict_is_loaded(way):
    (first, here), (second, there) = copied(*WAYS[way])
    for step in range(4, 7):
        for parameters, optimizer in ((first, here), (second, there)):
            give(parameters, step)
            optimizer.step()
    for index, (my, their) in enumerate(zip(second, first, strict=True)):
        because = f"parameter {index} after three more steps, with the state_dict loaded and without ({way})"
        close(my.detach(), their.detach(), because, rtol=1e-9, atol=1e-11)


@clause("sparse")
def test_a_sparse_gradient_is_refused():
    (table,) = made((7, 3))
    give([table], 0)
    table.grad = table.grad.to_sparse()
    with refuses(RuntimeError, (7, 3)):
        AdamW([table]).step()


@clause("refused")
@pytest.mark.parametrize(("name", "value"), REFUSED, ids=str)
def test_a_setting_out_of_its_range_is_refused(name, value):
    wrong = [beta for beta in value if not 0 <= beta < 1] if name == "betas" else [value]
    with refuses(ValueError, "beta" if name == "betas" else name, *wrong):
        AdamW(made(), **{name: value})


@clause("refused")
@pytest.mark.parametrize("name", ["lr", "eps", "weight_decay", "betas"])
def test_a_setting_of_0_is_allowed(name):
    try:
        AdamW(made(), **{name: (0.0, 0.0) if name == "betas" else 0})
    except ValueError as error:
        pytest.fail(f"{name}=0 was refused: {error}")
