"""The commands of the README from a text to a classifier, and every example of a message: `tox -e showcase`.

It trains two models, which takes minutes, so the tests of the repository leave it out.
"""

import json
import re

import pytest

from dojo import ROOT
from dojo.datasets.messages import UNWANTED, read_messages
from tests.meta.scratch import Scratch

PATIENCE = 3600  # seconds, far more than a busy machine takes
SHOWN = ("README.md", "docs/your-own-gpt.md", "dojo/commands/finetune.py")


def examples():
    """Every message that a page, the README or a command gives `dojo classify`."""
    found = [re.findall(r'dojo classify "([^"]+)"', (ROOT / path).read_text(encoding="utf-8")) for path in SHOWN]
    assert all(found), "a page without an example"
    return sorted({text for one in found for text in one} - {"text"})


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    copy = Scratch(tmp_path_factory.mktemp("showcase") / "clone")
    for words in (("train", "--quick"), ("finetune", "classify")):
        training = copy.start("dojo", *words, "--solutions", "--device", "cpu", OMP_NUM_THREADS="1")
        stdout, stderr = training.communicate(timeout=PATIENCE)
        assert training.returncode == 0, stdout + stderr
    return copy


def result(copy, name):
    return json.loads(copy.read(f".dojo/runs/{name}/run.json"))["result"]


def test_the_model_beats_the_table_of_pairs(shown):
    of_text = result(shown, "quick")
    assert of_text["perplexity"] < of_text["bigram_perplexity"]


def test_the_classifier_is_far_better_than_one_word_and_as_sure_as_it_is_right(shown):
    measured = result(shown, "classify")
    assert measured["accuracy"] >= 0.8
    assert measured["accuracy"] > measured["one_word"] + 0.15
    assert measured["calibration_error"] <= 0.1


@pytest.mark.parametrize("text", examples())
def test_every_example_is_unwanted_and_is_called_so(shown, text):
    asked = shown.run("dojo", "classify", text, "--solutions", "--device", "cpu")
    assert asked.stdout.split()[0] == UNWANTED, asked.stdout
    assert int(asked.stdout.split()[1].rstrip("%")) <= 99


def test_no_example_is_a_message_that_was_learned():
    learned = {message.text.lower().strip("!.") for message in read_messages(ROOT / "data" / "messages.tsv")}
    assert not {text.lower().strip("!.") for text in examples()} & learned
