"""With the book's seeds and settings the reference gives what chapter 4 and section 5.1 print, where nothing drops."""

from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dojo.serving.finder import served
from tests.support import gpt2

ALIKE = {"rtol": 0, "atol": 5.1e-5}  # what is printed is rounded to four decimals


@pytest.fixture(scope="module")
def katas() -> Iterator[SimpleNamespace]:
    with served({"*": "solutions"}):
        from katas.gpt import config, feedforward, generate, layernorm, model
        from katas.pretraining import loss

        yield SimpleNamespace(
            config=config, feedforward=feedforward, generate=generate, layernorm=layernorm, loss=loss, model=model
        )


def made(katas: SimpleNamespace, **changes: Any) -> nn.Module:
    """The book's 124M model after its seed, in eval mode."""
    torch.manual_seed(123)
    return katas.model.GPTModel(katas.config.GPTConfig.preset("gpt2-small", **changes)).eval()


@pytest.fixture(scope="module")
def small(katas: SimpleNamespace) -> nn.Module:
    """The model of section 4.6."""
    return made(katas)


@pytest.fixture(scope="module")
def short(katas: SimpleNamespace) -> nn.Module:
    """The model of section 5.1.1, whose context is shorter."""
    return made(katas, context_length=256)


def test_section_4_2_a_layer_and_its_normalization(katas):
    torch.manual_seed(123)
    batch = torch.randn(2, 5)
    out = nn.Sequential(nn.Linear(5, 6), nn.ReLU())(batch)
    printed = torch.tensor([[0.2260, 0.3470, 0.0000, 0.2216, 0.0000, 0.0000], [0.2133, 0.2394, 0, 0.5198, 0.3297, 0]])
    torch.testing.assert_close(out, printed, **ALIKE)
    normalized = katas.layernorm.LayerNorm(6)(out)
    # The book divides by the unbiased variance at first; with the biased one of its class all are sqrt(6 / 5) as large.
    by_hand = torch.tensor([[0.6159, 1.4126, -0.8719, 0.5872, -0.8719, -0.8719]]) * (6 / 5) ** 0.5
    torch.testing.assert_close(normalized[:1], by_hand, rtol=0, atol=5e-4)  # eps beside a variance of 0.02
    normalized = katas.layernorm.LayerNorm(5)(batch)
    torch.testing.assert_close(normalized.mean(dim=-1), torch.zeros(2), **ALIKE)
    torch.testing.assert_close(normalized.var(dim=-1, unbiased=False), torch.ones(2), **ALIKE)


@pytest.mark.parametrize(
    ("shortcuts", "printed"),
    [
        (False, [0.00020173587836325169, 0.0001201116101583466, 0.0007152041653171182, 0.001398873864673078,
                 0.005049646366387606]),
        (True, [0.22169792652130127, 0.20694105327129364, 0.32896995544433594, 0.2665732502937317, 1.3258541822433472]),
    ],
)  # fmt: skip
def test_section_4_4_gradients_with_and_without_shortcuts(katas, shortcuts, printed):
    torch.manual_seed(123)
    widths = [3, 3, 3, 3, 3, 1]
    layers = nn.ModuleList(
        nn.Sequential(nn.Linear(before, after), katas.feedforward.GELU()) for before, after in pairwise(widths)
    )
    x = torch.tensor([[1.0, 0.0, -1.0]])
    for layer in layers:
        seen = layer(x)
        x = x + seen if shortcuts and x.shape == seen.shape else seen
    nn.functional.mse_loss(x, torch.tensor([[0.0]])).backward()
    means = torch.stack([layer[0].weight.grad.abs().mean() for layer in layers])
    torch.testing.assert_close(means, torch.tensor(printed), rtol=1e-4, atol=0)


@pytest.mark.slow
def test_section_4_6_the_parameters_of_the_smallest_model(katas, small):
    count = katas.model.count_parameters
    assert (count(small), count(small, tied=True)) == (163_009_536, 124_412_160)
    assert small.tok_emb.weight.shape == small.out_head.weight.shape == (50_257, 768)
    assert f"{count(small) * 4 / 2**20:.2f} MB" == "621.83 MB"
    assert small(torch.zeros(2, 4, dtype=torch.int64)).shape == (2, 4, 50_257)


@pytest.mark.slow
def test_section_4_7_an_untrained_model_goes_on(katas, small):
    prompt = torch.tensor([[15496, 11, 314, 716]])  # "Hello, I am"
    seen = katas.generate.generate_greedy(small, prompt, max_new_tokens=6, context_length=1024)
    assert seen.tolist() == [[15496, 11, 314, 716, 27018, 24086, 47843, 30961, 42348, 7267]]


@pytest.mark.slow
def test_section_5_1_1_an_untrained_model_goes_on(katas, short):
    encoding, _ = gpt2()
    prompt = torch.tensor([encoding.encode("Every effort moves you")])
    (seen,) = katas.generate.generate_greedy(short, prompt, max_new_tokens=10, context_length=256).tolist()
    assert encoding.decode(seen) == "Every effort moves you rentingetic wasnم refres RexMeCHicular stren"


INPUTS = torch.tensor([[16833, 3626, 6100], [40, 1107, 588]])  # "every effort moves", "I really like"
TARGETS = torch.tensor([[3626, 6100, 345], [1107, 588, 11311]])  # " effort moves you", " really like chocolate"


@pytest.fixture(scope="module")
def logits(short: nn.Module) -> Tensor:
    with torch.no_grad():
        return short(INPUTS)


@pytest.mark.slow
def test_section_5_1_2_the_tokens_of_two_sentences(logits):
    assert logits.argmax(dim=-1).tolist() == [[16657, 339, 42826], [49906, 29669, 41751]]
    seen = logits.softmax(dim=-1).gather(-1, TARGETS[..., None])[..., 0]
    printed = torch.tensor([[7.4540e-05, 3.1061e-05, 1.1563e-05], [1.0337e-05, 5.6776e-05, 4.7559e-06]])
    torch.testing.assert_close(seen, printed, rtol=1e-4, atol=0)


@pytest.mark.slow
def test_section_5_1_2_the_loss_of_two_sentences(katas, short, logits):
    loss = katas.loss.cross_entropy(logits, TARGETS)
    torch.testing.assert_close(loss, torch.tensor(10.7940), **ALIKE)
    with torch.no_grad():
        torch.testing.assert_close(katas.loss.batch_loss(short, INPUTS, TARGETS), loss)
    assert float(katas.loss.perplexity(loss)) == pytest.approx(48725.82, rel=1e-4)
