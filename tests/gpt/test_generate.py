"""Greedy generation, clause by clause. The why: docs/gpt/generate.md."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.gpt.generate import generate_greedy
from tests.support import clause, close, numbers, refuses, said_first, same

VOCAB_SIZE = 11


class Toy(torch.nn.Module):
    """A model that scores one token highest at each position, and notes how it was called.

    Its parts, one within the other, do nothing but have a mode.
    """

    def __init__(self, fails_at=None):
        super().__init__()
        self.outer = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Sequential(torch.nn.Dropout(0.5)))
        self.other = torch.nn.Dropout(0.5)
        self.windows, self.modes, self.gradients, self.others = [], [], [], []
        self.fails_at = fails_at

    def forward(self, token_ids, *others, **named):
        self.windows.append(token_ids.clone())
        self.modes.append(modes_of(self))
        self.gradients.append(torch.is_grad_enabled())
        self.others.append((others, named))
        if self.fails_at == len(self.windows):
            raise Stopped("the toy was told to stop")
        scores = torch.nn.functional.one_hot(self.highest(token_ids.long()), VOCAB_SIZE)
        return scores * (1.0 + token_ids[:, :1, None])  # (batch, tokens, vocab_size): one row louder than another


class Counting(Toy):
    """After each id comes the next one."""

    def highest(self, token_ids):
        return (token_ids + 1) % VOCAB_SIZE


class Reading(Toy):
    """What comes next hangs on every id that it is given and on its place: on 1 * first + 2 * second + ..."""

    def highest(self, token_ids):
        places = torch.arange(1, token_ids.shape[1] + 1, device=token_ids.device)
        return (token_ids * places).cumsum(dim=1) % VOCAB_SIZE


class Scoring(torch.nn.Module):
    """A model that gives the same logits for every text: a row for each position from the end, the last one first."""

    def __init__(self, *rows):
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, token_ids):
        batch, tokens = token_ids.shape
        return self.rows.flip(0)[-tokens:].expand(batch, -1, -1)


class Stopped(Exception):
    pass


def modes_of(model):
    return [module.training for module in model.modules()]


def continued(prompt, max_new_tokens, context_length):
    """What Reading goes on with, in plain Python: the texts, and the windows that it is given."""
    texts, windows = [list(row) for row in prompt.tolist()], []
    for _ in range(max_new_tokens):
        windows.append([text[-context_length:] for text in texts])
        for text, window in zip(texts, windows[-1], strict=True):
            text.append(sum(place * token for place, token in enumerate(window, start=1)) % VOCAB_SIZE)
    return texts, windows


def prompts(batch, tokens, seed=0, dtype=torch.int64):
    """Ids of a vocabulary of 11, the same on every platform."""
    return ((numbers(batch, tokens, seed=f"prompts {seed}") + 1) * 5.5).clamp(0, 10).to(dtype)


@st.composite
def cases(draw):
    """A prompt, max_new_tokens and context_length."""
    batch, tokens = draw(st.integers(1, 3), label="batch"), draw(st.integers(1, 6), label="tokens")
    new, context_length = (
        draw(st.integers(1, 6), label="max_new_tokens"),
        draw(st.integers(1, 9), label="context_length"),
    )
    return prompts(batch, tokens, draw(st.integers(0, 99), label="seed")), new, context_length


@pytest.fixture(autouse=True)
def gradients_as_they_were():
    """What one test leaves turned off is no other test's failure."""
    with torch.enable_grad():
        yield


def probe(kata):
    """Small cases on which the known mistakes differ."""
    prompt = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])

    def tried(call, *named):
        """What came, or which error, and whether it names what it should. Gradients are as before afterwards."""
        with torch.enable_grad():
            try:
                return call()
            except Exception as error:
                return type(error).__name__, [str(value) in str(error) for value in named]

    def called(new=4, context_length=3, prompt=prompt, model=None):
        model = model or Reading()
        seen = tried(lambda: kata.generate_greedy(model, prompt.clone(), new, context_length))
        return seen, model

    def windows(**changes):
        seen, model = called(**changes)
        return seen, model.windows, [(len(others), list(named)) for others, named in model.others]

    def scored(*rows):
        return tried(lambda: kata.generate_greedy(Scoring(*rows), prompt[:1], 2, 9))

    def mixed():
        model = Reading()
        model.outer.eval()
        model.outer[1][0].train()
        return model

    def modes(model, **changes):
        _, model = called(model=model, **changes)
        return modes_of(model), model.modes, model.gradients

    def gradients(before, model):
        with torch.set_grad_enabled(before):
            try:
                kata.generate_greedy(model, prompt, 4, 3)
            except Exception as error:
                return type(error).__name__, model.gradients, torch.is_grad_enabled()
            return model.gradients, torch.is_grad_enabled()

    def learned():
        seen, table = tried(lambda: kata.generate_greedy(Reading(), prompt, 2, 9)), torch.nn.Embedding(11, 2)
        return tried(lambda: table(seen).sum().backward())

    def changed():
        given = prompt.clone()
        seen = tried(lambda: kata.generate_greedy(Reading(), given, 3, 4))
        return seen, given

    def nothing():
        model, given = Reading(), prompt.clone()
        seen = tried(lambda: kata.generate_greedy(model, given, 0, 9))
        return seen, seen is given, len(model.windows)

    def refused():
        for new, context_length in ((-1, 4), (-7, 4), (2, 0), (2, -7), (0, 0)):
            model = Reading()
            call = partial(kata.generate_greedy, model, prompt, new, context_length)
            yield tried(call, "max_new_tokens", "context_length", new, context_length), len(model.windows)

    def empty():
        for new in (2, 0):
            yield tried(lambda new=new: kata.generate_greedy(Reading(), prompt[:, :0], new, 4), (2, 0))

    def by_default_elsewhere():
        with torch.device("meta"):
            return kata.generate_greedy(Reading(), prompt, 2, 4).device.type

    def narrow():
        seen, model = called(prompt=prompt.int())
        return seen, [str(window.dtype) for window in model.windows]

    return {
        "crop": windows,
        "short": lambda: windows(new=3, context_length=20),
        "exact": lambda: windows(new=2, context_length=5),
        "counting": lambda: called(model=Counting())[0],
        "one row": lambda: called(prompt=prompt[1:])[0],
        "last": lambda: scored([0.0, 2.0, 1.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0]),
        "tie": lambda: scored([0.0, 2.0, 2.0, 2.0]),
        "close": lambda: scored([-9.0, 1e-9, 2e-9, 4e-9, 3e-9]),
        "closer": lambda: scored([-9.0, 5.0, 5.001, 5.002, 5.0015]),
        "signs": lambda: [scored([-4.0, -3.0, -5.0]), scored([1.0, 2.0, 3.0])],
        "modes": lambda: [modes(Reading()), modes(Reading().eval()), modes(mixed())],
        "failing": lambda: [modes(mixed()), modes(Reading(fails_at=2))],
        "failed": lambda: called(model=Reading(fails_at=2))[0],
        "gradients": lambda: [gradients(True, Reading()), gradients(False, Reading())],
        "gradients failing": lambda: [gradients(True, Reading()), gradients(True, Reading(fails_at=2))],
        "learned": learned,
        "changed": changed,
        "nothing": nothing,
        "refused": lambda: list(refused()),
        "empty": lambda: list(empty()),
        "elsewhere": lambda: tried(by_default_elsewhere),
        "int32": narrow,
    }


@clause("example")
def test_three_goes_on_with_four_five_six():
    seen = generate_greedy(Counting(), torch.tensor([[3]]), 3, 9)
    because = f"a model that counts was to go on with 3 by three tokens; the result is {seen.tolist()}"
    close(seen, torch.tensor([[3, 4, 5, 6]]), because)


@clause("greedy")
def test_of_equal_scores_the_lowest_id_is_taken():
    seen = generate_greedy(Scoring([0.0, 7.0, 3.0, 7.0, 7.0]), torch.tensor([[4]]), 2, 9)
    close(
        seen, torch.tensor([[4, 1, 1]]), "logits 0, 7, 3, 7, 7: ids 1, 3 and 4 share the greatest, and 1 is the lowest"
    )


@clause("greedy")
@pytest.mark.parametrize("scores", [[1e-9, 2e-9, 4e-9, 3e-9], [1.0, 1.0002, 1.0004, 0.0], [-5.0, -4.0, -3.0, -6.0]])
def test_the_greatest_logit_wins_by_however_little(scores):
    seen = generate_greedy(Scoring(scores), torch.tensor([[1]]), 3, 9)
    because = (
        f"of the logits {scores} that of id 2 is the greatest, and the result is {seen.tolist()}. A softmax before the "
        "comparison, or another dtype, rounds small differences away, and drawing by chance is not greedy"
    )
    close(seen[:, -3:], torch.tensor([[2, 2, 2]]), because)


@clause("last")
def test_the_scores_of_earlier_positions_do_not_count():
    rows = [[0.0, 2.0, 1.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0]]
    seen = generate_greedy(Scoring(*rows), torch.tensor([[2, 2, 0]]), 2, 3)
    because = "at the last position id 1 scores highest, at the ones before it ids 0 and 2, by more"
    close(seen[:, -2:], torch.tensor([[1, 1]]), because)


@clause("grows")
@given(st.integers(1, 6))
def test_each_new_token_is_read_with_all_before_it(max_new_tokens):
    model, prompt = Reading(), prompts(1, 3, seed=max_new_tokens)
    seen = generate_greedy(model, prompt, max_new_tokens, 99)
    texts, windows = continued(prompt, max_new_tokens, 99)
    given = [window.tolist() for window in model.windows]
    same(given, windows, "what the model was given, call by call: the text so far, one token longer each time")
    made = torch.tensor(texts)[:, 3:]
    close(
        seen[:, -max_new_tokens:], made, "the model was given the right texts, and others than its tokens were appended"
    )


@clause("crop")
@given(cases())
def test_the_model_is_given_the_last_context_length_tokens(case):
    prompt, new, context_length = case
    model = Reading()
    seen = generate_greedy(model, prompt, new, context_length)
    texts, windows = continued(prompt, new, context_length)
    given = [window.tolist() for window in model.windows]
    tokens = prompt.shape[1]
    same(
        given,
        windows,
        f"what the model was given, with {tokens} tokens to begin with and context_length={context_length}",
    )
    made = torch.tensor(texts)[:, tokens:]
    close(seen[:, -new:], made, "the model was given the right texts, and others than its tokens were appended")


@clause("calls")
@pytest.mark.parametrize("max_new_tokens", [1, 4])
def test_the_model_is_called_once_for_each_new_token(max_new_tokens):
    model = Reading()
    seen = generate_greedy(model, prompts(3, 2), max_new_tokens, 4)
    calls = len(model.windows)
    assert calls == max_new_tokens, f"for {max_new_tokens} new tokens the model was called {calls} times"
    batches = [len(window) for window in model.windows]
    assert batches == [3] * calls, f"a batch of 3 texts was handed over as batches of {batches}"
    given = [(others, named) for others, named in model.others if others or named]
    assert not given, f"beside the ids the model was given {given[0]}"
    assert seen.any(), "three texts were continued, and the result has nothing but zeros"


@clause("rows")
@given(cases())
def test_each_row_is_continued_as_it_would_be_alone(case):
    prompt, new, context_length = case
    together = generate_greedy(Reading(), prompt, new, context_length)
    for place, row in enumerate(prompt):
        texts, _ = continued(row[None], new, context_length)
        because = f"row {place} of {len(prompt)} goes on differently when alone"
        close(together[place, -new:], torch.tensor(texts[0])[-new:], because)


@clause("prompt")
@given(cases())
def test_the_result_begins_with_the_whole_prompt(case):
    prompt, new, context_length = case
    before = prompt.clone()
    seen = generate_greedy(Reading(), prompt, new, context_length)
    shape, expected = tuple(seen.shape), (len(before), before.shape[1] + new)
    told = f"a prompt of shape {tuple(before.shape)} and {new} new tokens"
    assert shape == expected, f"{told}: the result has shape {shape}, expected {expected}"
    close(seen[:, : before.shape[1]], before, f"{told}, context_length={context_length}: the result begins differently")
    assert torch.equal(prompt, before), "token_ids was written to, and its owner finds other ids in it"


@clause("none")
def test_no_new_tokens_give_a_copy_of_the_prompt():
    model, prompt = Reading(), prompts(2, 3)
    before = prompt.clone()
    seen = generate_greedy(model, prompt, 0, 4)
    close(seen, before, "with a max_new_tokens of 0, the result should be the prompt")
    assert not model.windows, "with a max_new_tokens of 0, the model was called all the same"
    seen.zero_()
    assert torch.equal(prompt, before), "the result is the prompt itself: writing into one changed the other"


@clause("eval")
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_model_and_its_parts_are_in_eval_mode_at_each_call(mode):
    model = Reading().train(mode == "train")
    generate_greedy(model, prompts(2, 3), 3, 4)
    assert model.modes, "the model was to make three tokens, and was not called"
    for number, modes in enumerate(model.modes):
        training = sum(modes)
        assert not training, f"at call {number}, {training} of {len(modes)} modules, the model included, were training"


@clause("no-grad")
@pytest.mark.parametrize("before", [True, False], ids=["on", "off"])
def test_gradients_are_off_at_each_call_and_as_before_afterwards(before):
    model = Reading()
    with torch.set_grad_enabled(before):
        generate_greedy(model, prompts(2, 3), 3, 4)
        after = torch.is_grad_enabled()
    assert model.gradients, "the model was to make three tokens, and was not called"
    assert not any(model.gradients), f"gradients were on or off, call by call: {model.gradients}; they should be off"
    told = {True: "on", False: "off"}
    assert after == before, f"gradients were {told[before]} before the call, and are {told[after]} after it"


@clause("no-grad")
def test_the_result_can_be_an_input_in_training():
    seen, table = generate_greedy(Reading(), prompts(2, 3), 3, 4), torch.nn.Embedding(VOCAB_SIZE, 2)
    try:
        table(seen).sum().backward()
    except RuntimeError as error:
        pytest.fail(f"a new embedding was to learn from the result, and it cannot: {said_first(error)}")
    assert table.weight.grad[seen[:, -1]].any(), "a new embedding was to learn from the result, and learned nothing"


def in_mixed_modes(model):
    """The model in training, one part of it frozen in eval, and a part of that in training again."""
    model.train()
    model.outer.eval()
    model.outer[1][0].train()
    return model


@clause("modes")
@pytest.mark.parametrize("before", ["train", "eval", "mixed"])
@pytest.mark.parametrize("new", [0, 3])
def test_every_module_is_in_its_own_mode_again(before, new):
    model = in_mixed_modes(Reading()) if before == "mixed" else Reading().train(before == "train")
    modes = modes_of(model)
    seen = generate_greedy(model, prompts(2, 3), new, 4)
    told = [name or "the model" for name, _ in model.named_modules()]
    for name, was, now in zip(told, modes, modes_of(model), strict=True):
        assert was == now, f"{name} had training={was} before the call ({before}), and has training={now} after it"
    assert seen.any(), "two texts were continued, and the result has nothing but zeros"


@clause("raises")
@pytest.mark.parametrize("call", [1, 3])
def test_an_error_of_the_model_comes_out_and_leaves_modes_and_gradients(call):
    model = in_mixed_modes(Reading(fails_at=call))
    modes = modes_of(model)
    try:
        with torch.set_grad_enabled(True):
            try:
                seen = generate_greedy(model, prompts(2, 3), 4, 4)
            finally:
                gradients = torch.is_grad_enabled()
    except Stopped:
        pass
    else:
        pytest.fail(f"at call {call} the model raised an error, and a result of shape {tuple(seen.shape)} came back")
    assert len(model.windows) == call, f"at call {call} the model raised an error, and was called again"
    assert modes_of(model) == modes, f"at call {call} the model raised an error, and is left in other modes than before"
    assert gradients, f"at call {call} the model raised an error, and gradients are left off"


@clause("counts")
@pytest.mark.parametrize("wrong", [-1, -17])
def test_fewer_than_no_new_tokens_are_refused(wrong):
    with refuses(ValueError, "max_new_tokens", wrong):
        generate_greedy(Reading(), prompts(2, 3), wrong, 4)


@clause("counts")
@pytest.mark.parametrize("wrong", [0, -1, -17])
@pytest.mark.parametrize("new", [0, 2])
def test_a_context_of_no_tokens_is_refused(wrong, new):
    with refuses(ValueError, "context_length", wrong):
        generate_greedy(Reading(), prompts(2, 3), new, wrong)


@clause("empty")
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("new", [0, 2])
def test_a_prompt_of_no_tokens_is_refused(batch, new):
    with refuses(ValueError, (batch, 0)):
        generate_greedy(Reading(), prompts(batch, 0), new, 4)


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_of_the_ids_is_kept(dtype):
    model, prompt = Reading(), prompts(2, 3, dtype=dtype)
    texts, _ = continued(prompt, 3, 4)
    close(generate_greedy(model, prompt, 3, 4), torch.tensor(texts, dtype=dtype), f"the prompt's ids are {dtype}")
    given = [window.dtype for window in model.windows]
    assert given == [dtype] * 3, f"the prompt's ids are {dtype}, and the model was given, call by call, {given}"


@clause("device")
def test_everything_is_made_on_the_device_of_the_ids():
    prompt = prompts(2, 3)
    texts, _ = continued(prompt, 3, 4)
    told = "the ids are on the CPU while torch's default is another device, and something was made there"
    try:
        with torch.device("meta"):
            seen = generate_greedy(Reading(), prompt, 3, 4)
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error) and "device" not in str(error):
            raise
        pytest.fail(f"{told}: {said_first(error)}")
    assert seen.device.type == "cpu", f"{told}: the result is there as well"
    close(seen, torch.tensor(texts), "with another default device the result is another one")
