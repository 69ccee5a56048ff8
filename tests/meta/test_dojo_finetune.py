"""`dojo finetune` and `dojo classify` on a copy of the repository, with a model that learns in a second."""

import json
import os
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from dojo.datasets.messages import Message
from dojo.finetune import calibration, confusion
from dojo.finetune.batches import with_targets
from dojo.finetune.classifier import Classifier
from dojo.finetune.variations import with_variations
from dojo.serving.finder import served
from tests.meta.test_dojo_train import TINY, steps_saved, train

SHORT = ("--device", "cpu", "--epochs", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A copy with a little model of the story."""
    from tests.meta.scratch import Scratch

    copy = Scratch(tmp_path_factory.mktemp("finetune") / "clone")
    train(copy, *TINY)
    return copy


def finetuned(scratch, *words):
    done = scratch.run("dojo", "finetune", *words, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def about(scratch, name):
    return json.loads(scratch.read(f".dojo/runs/{name}/run.json"))


def tensors(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_the_class_is_the_target_of_every_real_token_and_a_batch_is_as_long_as_its_longest_message():
    items = [(torch.tensor([4, 5, 0, 0, 0]), 2, 1), (torch.tensor([6, 7, 8, 9, 0]), 4, 0)]
    inputs, targets = with_targets(items)
    assert inputs.tolist() == [[4, 5, 0, 0], [6, 7, 8, 9]]
    assert targets.tolist() == [[1, 1, -100, -100], [0, 0, 0, 0]]


def test_the_loss_of_pretraining_on_such_targets_is_that_of_classification_on_every_beginning():
    torch.manual_seed(2)
    model = torch.nn.Sequential(torch.nn.Embedding(10, 4), torch.nn.Linear(4, 2))
    items = [(torch.tensor([4, 5, 0, 0]), 2, 1), (torch.tensor([6, 7, 8, 9]), 4, 0), (torch.tensor([1, 0, 0, 0]), 1, 1)]
    with served({"*": "solutions"}):
        from katas.finetuning.classification import classification_loss
        from katas.pretraining.loss import batch_loss

        inputs, targets = with_targets(items)
        begun = [(ids, end, label) for ids, length, label in items for end in range(1, length + 1)]
        ids, ends, labels = (torch.stack([torch.as_tensor(one) for one in part]) for part in zip(*begun, strict=True))
        expected = classification_loss(model, ids, labels, ends)
        torch.testing.assert_close(batch_loss(model, inputs, targets), expected)


def test_measuring_a_classifier_whose_core_alone_holds_leaves_its_modes(monkeypatch):
    recorded = []

    def accuracy(model, loader):
        model.eval()
        recorded.append(torch.is_grad_enabled())
        return 0.5

    monkeypatch.setattr("dojo.train.pieces.module", lambda address: SimpleNamespace(accuracy=accuracy))
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5).eval())
    assert Classifier(model, None, 4).accuracy([]) == 0.5
    assert [part.training for part in model.modules()] == [True, True, False]
    assert recorded == [False]


def test_a_classifier_learns_is_measured_and_answers(trained):
    told = " ".join(finetuned(trained, "classify", "--data", "data/messages.tsv", *SHORT).split())
    assert "story learns data/messages.tsv, SHA-256" in told
    assert "borrowed from the reference" in told
    assert "of 150 messages are right, all of kinds that it has never seen" in told
    assert "always the commoner label: 50.0%; unwanted if it has 'example': 61.3%" in told
    assert "naive Bayes, which counts every word of the messages: 9" in told
    assert "Naive Bayes wins: 524 messages are enough to count words" in told
    assert "sureness is off by " in told
    for name in ("curve.svg", "confusion.svg"):
        assert trained.read(f".dojo/runs/classify/{name}").startswith("<?xml")
    assert set(about(trained, "classify")["result"]) == {
        *("accuracy", "majority", "one_word", "naive_bayes", "calibration_error")
    }

    asked = trained.run("dojo", "classify", "You have won, call now", "--run", "classify")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.split()[0] in ("wanted", "unwanted")
    assert "sure" in asked.stdout
    assert trained.run("dojo", "classify", "").returncode == 2


def test_a_variation_is_a_part_of_a_message_whatever_its_case():
    learned = [Message("wanted", "One is here. Two! Three 3.", "plans")]
    assert with_variations(learned, 1) == with_variations(learned, 1)
    texts = {one.text for number in range(99) for one in with_variations(learned, number)[1:]}
    assert {"Two!", "TWO!", "two! three 3.", "One is here. Two! Three 3."} <= texts
    assert {text.lower() for text in texts} == {
        "one is here.", "two!", "three 3.", "one is here. two!", "two! three 3.", "one is here. two! three 3."
    }  # fmt: skip


def test_a_temperature_makes_a_classifier_as_sure_as_it_is_right():
    labels = torch.tensor([0, 0, 0, 1])
    logits = torch.tensor([[8.0, 0.0]] * 4)  # sure of 0, and right in three of four
    found = calibration.temperature(logits, labels)
    assert float((logits[0] / found).softmax(-1)[0]) == pytest.approx(0.75, abs=0.02)
    assert calibration.calibration_error(logits, labels) == pytest.approx(0.25, abs=0.001)
    assert calibration.calibration_error(logits / found, labels) < 0.02
    two = torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log()  # two bins: 0.1 off, and 0.6 off
    assert calibration.calibration_error(two, torch.tensor([0, 1])) == pytest.approx(0.35)


def test_nothing_is_said_to_be_surer_than_99_percent(trained, monkeypatch):
    from click.testing import CliRunner

    from dojo.commands.classify import command

    run = SimpleNamespace(kind="classify", name="mine", model="gpt2", about=lambda check: {"base": "story"})
    monkeypatch.setattr("dojo.train.runs.latest", lambda *_: run)
    sure = SimpleNamespace(probabilities=lambda text: [0.0001, 0.9999])
    monkeypatch.setattr("dojo.finetune.classifier.of_run", lambda *_: sure)
    asked = CliRunner().invoke(command, ["Win", "--solutions", "--device", "cpu"])
    assert asked.output.split()[:3] == ["unwanted", "99%", "sure"]


def test_what_is_frozen_stays_as_it_was_trained(trained):
    finetuned(trained, "classify", "--trainable-blocks", "0", "--name", "frozen", *SHORT)
    base, tuned = (tensors(trained.path(f".dojo/runs/{name}/checkpoint.safetensors")) for name in ("story", "frozen"))
    same = [name for name in base if name.startswith("model.") and base[name].equal(tuned.get(name, base[name][:1]))]
    assert all(name in same for name in base if name.startswith(("model.tok_emb", "model.pos_emb", "model.trf_blocks")))
    assert "model.final_norm.scale" not in same


def test_the_adapter_and_the_base_are_the_whole_of_lora(trained):
    told = " ".join(finetuned(trained, "lora", "--rank", "2", *SHORT).split())
    assert "adapter adapter.safetensors" in told
    adapter = tensors(trained.path(".dojo/runs/lora/adapter.safetensors"))
    assert {name.rpartition(".")[2] for name in adapter} == {"A", "B", "weight", "bias"}
    before = trained.run("dojo", "classify", "You have won, call now", "--run", "lora")
    trained.path(".dojo/runs/lora/checkpoint.safetensors").unlink()
    after = trained.run("dojo", "classify", "You have won, call now", "--run", "lora")
    assert before.returncode == 0
    assert before.stdout == after.stdout
    trained.path(".dojo/runs/lora/adapter.safetensors").unlink()
    assert "`dojo finetune lora --resume`" in trained.run("dojo", "classify", "x", "--run", "lora").stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL for another process")
def test_a_fine_tuning_that_was_killed_ends_where_an_undisturbed_one_ends(trained):
    words = ("classify", "--device", "cpu", "--epochs", "3", "--save-every", "0")
    finetuned(trained, *words, "--name", "calm")
    process = trained.start("dojo", "finetune", *words, "--name", "killed", OMP_NUM_THREADS="1")
    deadline = time.monotonic() + 120
    while not steps_saved(trained, "killed") and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert 0 < steps_saved(trained, "killed") < 297, "it was not killed on its way"
    finetuned(trained, "classify", "--resume", "--name", "killed", "--device", "cpu")
    ended = [trained.path(f".dojo/runs/{name}/checkpoint.safetensors").read_bytes() for name in ("killed", "calm")]
    assert ended[0] == ended[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["classify", "--data", "nowhere.tsv"], "nowhere.tsv cannot be read: No such file or directory"),
        (["classify", "--data", "broken.tsv"], "broken.tsv, line 3: the label is 'maybe'"),
        (["classify", "--run", "nobody"], "there is no run 'nobody', only story."),
        (
            ["classify", "--trainable-blocks", "9"],
            "blocks in story is 1: --trainable-blocks is at most that",
        ),
        (["lora", "--rank", "99"], "story is 16 wide: --rank is at most that, and not 99."),
        (["lora", "--resume", "--name", "never"], "there is no run"),
        (["lora", "--resume", "--rank", "3"], "--resume continues a run"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_begins(trained, words, told):
    trained.write("broken.tsv", "ham\tHello.\nspam\tWin.\nmaybe\tSo.\n")
    before = sorted(trained.path(".dojo/runs").iterdir())
    done = trained.run("dojo", "finetune", *words, "--device", "cpu")
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert sorted(trained.path(".dojo/runs").iterdir()) == before


def test_without_a_trained_model_there_is_nothing_to_begin_with(scratch):
    done = scratch.run("dojo", "finetune", "classify")
    assert done.returncode == 2
    assert "begin with `dojo train --quick`" in done.stderr


def test_the_table_tells_what_is_taken_for_what():
    lines = confusion.table([[70, 5], [9, 66]])
    assert lines[1].split() == ["wanted", "70", "5"]
    assert lines[2].split() == ["unwanted", "9", "66"]
