"""Greedy generation, clause by clause. The why: docs/gpt/generate.md."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.gpt.generate import generate_greedy
from tests import laws
from tests.probes import tried
from tests.support import clause, close, numbers, refuses, said_first

VOCAB_SIZE = 11


class Stopped(Exception):
    pass


class Reading(torch.nn.Module):
    """A model whose next token depends on every id that it reads and on its place: 1 * first + 2 * second + ...

    It notes how it is called. Its parts, one within the other, do nothing but have a mode.
    """

    def __init__(self, fails_at=None):
        super().__init__()
        self.outer = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Sequential(torch.nn.Dropout(0.5)))
        self.other = torch.nn.Dropout(0.5)
        self.fails_at, self.windows, self.modes, self.gradients = fails_at, [], [], []

    def forward(self, token_ids):
        self.windows.append(token_ids.clone())
        self.modes.append(modes_of(self))
        self.gradients.append(torch.is_grad_enabled())
        if self.fails_at == len(self.windows):
            raise Stopped("the model was told to stop")
        places = torch.arange(1, token_ids.shape[1] + 1, device=token_ids.device)
        highest = (token_ids.long() * places).cumsum(dim=1) % VOCAB_SIZE
        scores = torch.nn.functional.one_hot(highest, VOCAB_SIZE)
        return scores * (1.0 + token_ids[:, :1, None])  # one text of a batch has greater logits than another


class Counting(torch.nn.Module):
    """A model that always scores the last id plus 1 highest."""

    def forward(self, token_ids):
        return torch.nn.functional.one_hot((token_ids + 1) % VOCAB_SIZE, VOCAB_SIZE).float()


class Scoring(torch.nn.Module):
    """A model that gives the same logits for every text: a row for each position from the end, the last one first."""

    def __init__(self, *rows):
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, token_ids):
        batch, tokens = token_ids.shape
        return self.rows[[min(place, len(self.rows) - 1) for place in reversed(range(tokens))]].expand(batch, -1, -1)


def modes_of(model):
    return [module.training for module in model.modules()]


def in_mixed_modes(model):
    """The model in training mode, one part of it in eval mode, and a part of that in training mode again."""
    model.train()
    model.outer.eval()
    model.outer[1][0].train()
    return model


def continued(prompt, max_new_tokens, context_length):
    """How Reading continues texts, in plain Python."""
    texts = [list(row) for row in prompt.tolist()]
    for text in texts:
        for _ in range(max_new_tokens):
            window = text[-context_length:]
            text.append(sum(place * token for place, token in enumerate(window, start=1)) % VOCAB_SIZE)
    return torch.tensor(texts)


def prompts(batch, tokens, seed=0, dtype=torch.int64):
    """Ids of a vocabulary of 11, the same on every platform."""
    return ((numbers(batch, tokens, seed=f"prompts {seed}") + 1) * 5.5).clamp(0, 10).to(dtype)


@pytest.fixture(autouse=True)
def gradients_as_they_were():
    """Gradients that one test leaves off are no other test's failure."""
    with torch.enable_grad():
        yield


def probe(kata):
    """Small cases on which the known mistakes differ."""
    prompt = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])

    def made(new=4, context_length=3, prompt=prompt, model=None):
        with torch.enable_grad():  # and as they were afterwards
            return tried(lambda: kata.generate_greedy(model or Reading(), prompt.clone(), new, context_length))

    def after(model, what, **how):
        made(model=model, **how)
        return what(model)

    def gradients(before, fails_at=None):
        with torch.set_grad_enabled(before):
            tried(lambda: kata.generate_greedy(Reading(fails_at), prompt, 4, 3))
            return torch.is_grad_enabled()

    def learned():
        seen, table = made(new=2), torch.nn.Embedding(11, 2)
        return tried(lambda: table(seen).sum().backward())

    def unchanged():
        given = prompt.clone()
        with torch.enable_grad():
            tried(lambda: kata.generate_greedy(Reading(), given, 3, 4))
        return torch.equal(given, prompt)

    @torch.enable_grad()
    def itself():
        return kata.generate_greedy(Reading(), prompt, 0, 9) is prompt

    def elsewhere():
        with torch.enable_grad(), torch.device("meta"):
            return kata.generate_greedy(Reading(), prompt, 2, 4).device.type

    return {
        "counting": lambda: made(prompt=prompt[:, :1], context_length=9, model=Counting()),
        "short": lambda: made(new=3, context_length=20),
        "cropped": made,
        "exact": lambda: made(new=2, context_length=5),
        "one text": lambda: made(prompt=prompt[1:]),
        "another text first": lambda: made(prompt=prompt.flip(0)),
        "last": lambda: made(model=Scoring([0.0, 2.0, 1.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0])),
        "negative": lambda: made(model=Scoring([-4.0, -3.0, -5.0])),
        "close": lambda: made(model=Scoring([0.0, 1e-9, 2e-9, 4e-9, 3e-9])),
        "calls": lambda: after(Reading(), lambda model: len(model.windows)),
        "tokens in each call": lambda: after(
            Reading(), lambda model: [window.shape[1] for window in model.windows], context_length=20
        ),
        "texts in a call": lambda: after(Reading(), lambda model: len(model.windows[0])),
        "modes during calls": lambda: after(Reading(), lambda model: model.modes),
        "gradients during calls": lambda: after(Reading(), lambda model: model.gradients),
        "modes after training": lambda: after(Reading(), modes_of),
        "modes after eval": lambda: after(Reading().eval(), modes_of),
        "modes after a mixture": lambda: after(in_mixed_modes(Reading()), modes_of),
        "modes after an error": lambda: after(Reading(fails_at=2), modes_of),
        "an error": lambda: made(model=Reading(fails_at=2)),
        "gradients after on": lambda: gradients(True),
        "gradients after off": lambda: gradients(False),
        "gradients after an error": lambda: gradients(True, fails_at=2),
        "learned from": learned,
        "unchanged": unchanged,
        "itself": itself,
        "nothing new": lambda: made(new=0),
        "-1 new": lambda: made(new=-1),
        "no context": lambda: made(context_length=0),
        "no prompt": lambda: made(prompt=prompt[:, :0]),
        "elsewhere": lambda: tried(elsewhere),
        "int32": lambda: made(prompt=prompt.int()),
    }


@clause("example")
def test_three_is_continued_with_four_five_six():
    seen = generate_greedy(Counting(), torch.tensor([[3]]), 3, 9)
    because = f"a model that counts was to continue 3 by three tokens; the result is {seen.tolist()}"
    close(seen, torch.tensor([[3, 4, 5, 6]]), because)


@clause("greedy")
@pytest.mark.parametrize("logits", [[1.0, 2.0, 4.0, 3.0], [-5.0, -4.0, -3.0, -6.0]])
def test_the_greatest_logit_decides(logits):
    torch.manual_seed(0)
    seen = generate_greedy(Scoring(logits), torch.tensor([[1]]), 8, 9)
    close(seen[:, -8:], torch.full((1, 8), 2), f"of the logits {logits}, that of id 2 is the greatest")


@clause("last")
def test_the_logits_of_earlier_positions_are_not_used():
    rows = [[0.0, 2.0, 1.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0]]
    seen = generate_greedy(Scoring(*rows), torch.tensor([[2, 2, 0]]), 2, 9)
    because = "at the last position id 1 has the greatest logit, at earlier positions ids 0 and 2"
    close(seen[:, -2:], torch.tensor([[1, 1]]), because)


@clause("grows")
@given(st.integers(1, 6), st.integers(1, 4))
def test_each_new_token_is_read_with_all_tokens_before_it(max_new_tokens, tokens):
    prompt = prompts(1, tokens)
    seen = generate_greedy(Reading(), prompt.clone(), max_new_tokens, 99)
    because = f"{tokens} tokens and {max_new_tokens} new ones, of a model whose next token depends on all that it reads"
    close(seen[:, -max_new_tokens:], continued(prompt, max_new_tokens, 99)[:, -max_new_tokens:], because)


@clause("crop")
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9))
def test_the_model_reads_the_last_context_length_tokens(tokens, max_new_tokens, context_length):
    prompt = prompts(1, tokens)
    seen = generate_greedy(Reading(), prompt.clone(), max_new_tokens, context_length)
    because = (
        f"{tokens} tokens and {max_new_tokens} new ones, context_length={context_length}, of a model whose next token "
        "depends on all that it reads"
    )
    expected = continued(prompt, max_new_tokens, context_length)
    close(seen[:, -max_new_tokens:], expected[:, -max_new_tokens:], because)


@clause("per-text")
def test_each_text_is_continued_as_it_would_be_alone():
    prompt = prompts(3, 5)
    seen = generate_greedy(Reading(), prompt.clone(), 4, 99)
    because = "three texts together should be continued as each of them alone"
    close(seen[:, -4:], continued(prompt, 4, 99)[:, -4:], because)


@clause("prompt")
@pytest.mark.parametrize("context_length", [9, 2])
def test_the_result_begins_with_the_whole_prompt(context_length):
    prompt = prompts(2, 5)
    seen = generate_greedy(Reading(), prompt.clone(), 3, context_length)
    assert seen.shape == (2, 8), f"5 tokens and 3 new ones gave a result of shape {tuple(seen.shape)}"
    close(seen[:, :5], prompt, f"the result begins with other tokens than the prompt; context_length={context_length}")


@clause("close-logits")
def test_the_greatest_logit_is_found_among_close_ones():
    logits = [0.0, 1e-9, 4e-9, 3e-9]
    seen = generate_greedy(Scoring(logits), torch.tensor([[1]]), 3, 9)
    because = f"of the logits {logits}, that of id 2 is the greatest; a softmax before the comparison rounds"
    close(seen[:, -3:], torch.full((1, 3), 2), because)


@clause("calls")
def test_the_model_is_called_once_for_each_new_token():
    model = Reading()
    generate_greedy(model, prompts(3, 2), 4, 4)
    batches = [len(window) for window in model.windows]
    because = f"for 3 texts and 4 new tokens, the model was called with {batches} texts; expected 4 calls with 3 each"
    assert batches == [3] * 4, because


@clause("none")
def test_no_new_tokens_give_a_copy_of_the_prompt():
    model, prompt = Reading(), prompts(2, 3)
    seen = generate_greedy(model, prompt, 0, 4)
    close(seen, prompt, "with a max_new_tokens of 0, the result should be the prompt")
    assert not model.windows, "with a max_new_tokens of 0, the model was called"
    assert seen is not prompt, "the result is the prompt itself; writing into one would change the other"


@clause("eval")
def test_the_model_and_its_parts_are_in_eval_mode_at_each_call():
    model = Reading().train()
    generate_greedy(model, prompts(2, 3), 3, 4)
    training = [sum(modes) for modes in model.modes]
    because = f"call by call, {training} of {len(modes_of(model))} modules were in training mode; dropout is then on"
    assert training == [0, 0, 0], because


@clause("no-grad")
@pytest.mark.parametrize("before", [True, False], ids=["on", "off"])
def test_gradients_are_off_at_each_call_and_as_before_afterwards(before):
    model = Reading()
    with torch.set_grad_enabled(before):
        generate_greedy(model, prompts(2, 3), 3, 4)
        afterwards = torch.is_grad_enabled()
    assert not any(model.gradients), f"call by call, gradients were on: {model.gradients}; expected off"
    assert afterwards == before, f"gradients on: {before} before generate_greedy, {afterwards} afterwards"


@clause("no-grad")
def test_the_result_can_be_an_input_in_training():
    seen, table = generate_greedy(Reading(), prompts(2, 3), 3, 4), torch.nn.Embedding(VOCAB_SIZE, 2)
    try:
        table(seen).sum().backward()
    except RuntimeError as error:
        pytest.fail(f"an embedding cannot be trained on the result: {said_first(error)}")


@clause("modes")
@pytest.mark.parametrize("before", ["train", "eval", "mixed"])
def test_each_part_has_its_own_mode_again(before):
    model = in_mixed_modes(Reading()) if before == "mixed" else Reading().train(before == "train")
    modes = modes_of(model)
    generate_greedy(model, prompts(2, 3), 3, 4)
    names = [name or "the model" for name, _ in model.named_modules()]
    for name, was, now in zip(names, modes, modes_of(model), strict=True):
        assert was == now, f"{name} had training={was} before generate_greedy ({before}), and training={now} after it"


@clause("modes")
def test_modes_and_gradients_are_as_before_after_an_error_of_the_model():
    model = in_mixed_modes(Reading(fails_at=3))
    modes = modes_of(model)
    with torch.set_grad_enabled(True):
        with pytest.raises(Stopped):
            generate_greedy(model, prompts(2, 3), 4, 4)
        assert torch.is_grad_enabled(), "at its third call the model raised an error, and gradients were left off"
    assert modes_of(model) == modes, "at its third call the model raised an error, and was left in other modes"


@clause("counts")
@pytest.mark.parametrize(("argument", "wrong"), [("max_new_tokens", -1), ("context_length", 0)])
def test_counts_that_mean_nothing_are_refused(argument, wrong):
    with refuses(ValueError, argument, wrong):
        generate_greedy(Reading(), prompts(2, 3), **{"max_new_tokens": 2, "context_length": 4, argument: wrong})


@clause("empty")
def test_a_prompt_of_no_tokens_is_refused():
    with refuses(ValueError, (3, 0)):
        generate_greedy(Reading(), prompts(3, 0), 2, 4)


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_of_the_ids_is_kept(dtype):
    prompt = prompts(2, 3, dtype=dtype)
    close(generate_greedy(Reading(), prompt.clone(), 3, 4), continued(prompt, 3, 4).to(dtype), f"the ids are {dtype}")


@clause("device")
def test_everything_is_created_on_the_device_of_the_ids():
    prompt = prompts(2, 3)
    because = "the ids are on the CPU, torch's default device is another one, and something was created there"
    try:
        with torch.device("meta"):
            seen = generate_greedy(Reading(), prompt, 3, 4)
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error) and "device" not in str(error):
            raise
        pytest.fail(f"{because}: {said_first(error)}")
    assert seen.device.type == "cpu", because


@clause("pure")
def test_token_ids_are_left_alone():
    laws.leaves_its_inputs_alone(lambda ids: generate_greedy(Reading(), ids, 3, 4), prompts(2, 3))
