"""What `dojo look` sees is what the model does."""

import html.parser

import pytest
import torch

from dojo.look.page import page
from dojo.look.seeing import attention, see
from dojo.serving.finder import served
from dojo.train.speaking import Speaker
from tests.meta.test_speaking import Bytes

SIZES = {"vocab_size": 258, "context_length": 12, "emb_dim": 12, "n_heads": 3, "n_layers": 2}


@pytest.fixture
def speaker():
    with served({"*": "solutions"}):
        from katas.gpt.config import GPTConfig
        from katas.gpt.model import GPTModel

        torch.manual_seed(3)
        config = SIZES | {"drop_rate": 0.1, "qkv_bias": True}
        yield Speaker(GPTModel(GPTConfig(**config)), Bytes(), config)


def test_what_the_heads_take_gives_what_the_attention_gives(speaker):
    att = speaker.model.trf_blocks[0].att
    x = torch.randn(1, 5, 12)
    weights = attention(att, x, speaker.config)  # (heads, tokens, tokens)
    values = att.W_value(x)[0].view(5, 3, 4).transpose(0, 1)  # (heads, tokens, head_dim)
    context = (weights @ values).transpose(0, 1).reshape(1, 5, 12)
    torch.testing.assert_close(att.out_proj(context), att.eval()(x))


def test_the_last_layer_of_the_lens_says_what_the_model_says(speaker):
    seen = see(speaker, "abcde")
    assert len(seen.lens) == 3
    assert seen.lens[-1][-1].tokens[0] == seen.guess.tokens[0]
    assert seen.lens[-1][-1].probabilities[0] == pytest.approx(seen.guess.probabilities[0])


def test_a_head_that_is_off_gives_nothing(speaker):
    seen = see(speaker, "abcde")
    silent = speaker.model
    with torch.no_grad():
        silent.trf_blocks[1].att.W_value.weight[4:8] = 0  # what the second head passes on
        silent.trf_blocks[1].att.W_value.bias[4:8] = 0
        likely = silent.eval()(torch.tensor([[*b"abcde"]]))[0, -1].softmax(-1)
    assert seen.without[1][1].probabilities == pytest.approx(likely.topk(10).values.tolist())
    best = Bytes().encode(seen.guess.tokens[0])[0]
    assert seen.kept[1][1] == pytest.approx(float(likely[best]), rel=1e-4)


def test_looking_changes_nothing(speaker):
    before = {name: value.clone() for name, value in speaker.model.state_dict().items()}
    see(speaker, "abcde")
    assert all(torch.equal(value, before[name]) for name, value in speaker.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in speaker.model.modules())


def test_only_so_many_tokens_are_looked_at_as_the_model_reads(speaker):
    assert see(speaker, "abcdefghijklmnopqrstuvwxyz").tokens == list("opqrstuvwxyz")


def test_an_empty_text_shows_nothing(speaker):
    with pytest.raises(ValueError, match="empty"):
        see(speaker, "")


def test_the_page_is_whole_and_needs_nothing_else(speaker):
    class Reader(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.asked, self.maps = [], 0

        def handle_starttag(self, tag, attrs):
            told = dict(attrs)
            self.maps += "map" in (told.get("class") or "").split()
            self.asked += [told[name] for name in ("src", "href") if name in told]

    text = page(see(speaker, 'a <b> & "c"'), "a <model>")
    reader = Reader()
    reader.feed(text)
    assert reader.maps == SIZES["n_heads"] * SIZES["n_layers"]
    assert all(address.startswith("data:image/png;base64,") for address in reader.asked)
    assert "<title>dojo look: a &lt;model&gt;</title>" in text
    assert "<b>" not in text
