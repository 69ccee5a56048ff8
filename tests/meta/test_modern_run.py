"""`dojo train --model modern`, and the commands after it, on a copy with a model that learns in a second."""

import pytest
import torch

from dojo.finetune import classifier
from dojo.finetune.recipe import LORA, Recipe
from dojo.look.seeing import attention, see
from dojo.serving.finder import served
from dojo.train import models
from dojo.train.ingredients import GPT2, MODERN
from dojo.train.settings import PRESETS
from dojo.train.speaking import Speaker
from tests.meta.test_dojo_train import TINY, train
from tests.meta.test_speaking import Bytes

SIZES = {"context_length": 12, "emb_dim": 24, "n_heads": 4, "n_layers": 2, "drop_rate": 0.0}


@pytest.fixture
def speaker():
    with served({"*": "solutions"}):
        torch.manual_seed(3)
        config = models.config_of(MODERN, 258, **SIZES)
        yield Speaker(models.build(config).eval(), Bytes(), config)


def test_both_models_of_a_run_are_told_beside_each_other_and_the_modern_one_speaks_and_is_looked_at(scratch):
    words = [*TINY, "--drop-rate", "0"]
    told = train(scratch, *words, "--model", "modern")
    assert "grouped_query, decoder" in told
    assert "multihead" not in told
    assert "the same command with `--model gpt2`" in " ".join(told.split())
    both = " ".join(train(scratch, *words).split())
    assert "perplexity on the same held-out tokens, with the same sizes: modern " in both
    assert "(story-modern); gpt2 " in both

    how = ("--run", "story-modern", "--max-tokens", "20", "--seed", "7", "--device", "cpu")
    plain, cached = (
        scratch.run("dojo", "generate", "The", *how),
        scratch.run("dojo", "generate", "The", *how, "--solutions"),
    )
    assert "your kv_cache is not green" in " ".join(plain.stderr.split())
    assert "kv_cache" not in cached.stderr
    assert plain.stdout == cached.stdout
    assert len(plain.stdout) > len("The\n")
    looked = scratch.run("dojo", "look", "The word", "--run", "story-modern")
    assert (looked.returncode, "kv_cache" in looked.stderr) == (0, False), looked.stderr
    assert "continuing story-modern" in train(scratch, "--resume", "--name", "story-modern", "--device", "cpu")


@pytest.mark.parametrize(("name", "preset"), PRESETS.items())
def test_the_models_of_a_preset_are_of_the_same_size(name, preset):
    width, blocks = preset.emb_dim, preset.n_layers
    config = models.config_of(MODERN, 300, preset.context_length, width, preset.n_heads, blocks, 0.0)
    head = width // config["num_heads"]
    att = 2 * width * head * (config["num_heads"] + config["num_kv_heads"])
    assert att + 3 * width * config["hidden_dim"] == pytest.approx(12 * width**2, rel=0.01)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--drop-rate", "0.1"], "has no dropout"),
        (["--emb-dim", "10", "--n-heads", "2"], "a head of 5 cannot be split into pairs"),
    ],
)
def test_sizes_that_the_modern_model_cannot_have_are_refused(scratch, words, told):
    done = scratch.run("dojo", "train", "--story", "--model", "modern", *words)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())


@pytest.mark.parametrize("prompt", ["abc", "ab "])
def test_what_is_said_with_a_cache_is_what_is_said_without_also_beyond_the_context(speaker, prompt):
    read = []
    speaker.model.tok_emb.register_forward_hook(lambda _, args, out: read.append(args[0].shape[1]))
    said = []
    for speaker.cached in (False, True):
        read.clear()
        said.append("".join(speaker.speak(prompt, 20, 1.0, seed=5)))
    assert said[0] == said[1]
    assert 1 in read, "with a cache a new token is read alone"


def test_what_the_heads_of_a_modern_model_take_gives_what_the_attention_gives(speaker):
    att = speaker.model.trf_blocks[0].att
    with torch.no_grad():
        x = torch.randn(1, 5, 24)
        weights = attention(att, x, speaker.config)  # (heads, tokens, tokens)
        values = att.W_value(x)[0].view(5, 2, 6).transpose(0, 1).repeat_interleave(2, dim=0)
        context = (weights @ values).transpose(0, 1).reshape(1, 5, 24)
        torch.testing.assert_close(att.out_proj(context), att(x))
    assert len(see(speaker, "abc").attention[0]) == 4


@pytest.mark.parametrize("kind", ["classify", LORA])
def test_a_modern_model_is_fine_tuned(speaker, monkeypatch, kind):
    monkeypatch.setattr(classifier.saved, "of_run", lambda *_: speaker)
    made = classifier.classifier(None, Recipe(kind=kind, rank=2), "cpu")
    assert sum(made.probabilities("a bee")) == pytest.approx(1.0)


def test_a_configuration_knows_its_model():
    assert [models.name_of(models.config_of(name, 258, **SIZES)) for name in (GPT2, MODERN)] == [GPT2, MODERN]
