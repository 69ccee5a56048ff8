"""`dojo finetune` and `dojo classify` on a copy of the repository, with a model that learns in a second."""

import json
import os
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from dojo.finetune import confusion
from dojo.finetune.batches import with_targets
from dojo.finetune.classifier import Classifier
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


def test_the_class_is_the_only_target_and_stands_at_the_last_real_token():
    items = [(torch.tensor([4, 5, 0, 0]), 2, 1), (torch.tensor([6, 7, 8, 9]), 4, 0)]
    inputs, targets = with_targets(items)
    assert inputs.tolist() == [[4, 5, 0, 0], [6, 7, 8, 9]]
    assert targets.tolist() == [[-100, 1, -100, -100], [-100, -100, -100, 0]]


def test_the_loss_of_pretraining_on_such_targets_is_that_of_classification():
    torch.manual_seed(2)
    model = torch.nn.Sequential(torch.nn.Embedding(10, 4), torch.nn.Linear(4, 2))
    items = [(torch.tensor([4, 5, 0, 0]), 2, 1), (torch.tensor([6, 7, 8, 9]), 4, 0), (torch.tensor([1, 0, 0, 0]), 1, 1)]
    with served({"*": "solutions"}):
        from katas.finetuning.classification import classification_loss
        from katas.pretraining.loss import batch_loss

        inputs, targets = with_targets(items)
        expected = classification_loss(model, inputs, torch.tensor([1, 0, 1]), torch.tensor([2, 4, 1]))
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
    for name in ("curve.svg", "confusion.svg"):
        assert trained.read(f".dojo/runs/classify/{name}").startswith("<?xml")
    assert set(about(trained, "classify")["result"]) == {"accuracy", "majority", "one_word"}

    asked = trained.run("dojo", "classify", "You have won, call now", "--run", "classify")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.split()[0] in ("wanted", "unwanted")
    assert "sure" in asked.stdout
    assert trained.run("dojo", "classify", "").returncode == 2


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
    assert 0 < steps_saved(trained, "killed") < 93, "it was not killed on its way"
    finetuned(trained, "classify", "--resume", "--name", "killed", "--device", "cpu")
    ended = [trained.path(f".dojo/runs/{name}/checkpoint.safetensors").read_bytes() for name in ("killed", "calm")]
    assert ended[0] == ended[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["classify", "--data", "nowhere.tsv"], "nowhere.tsv cannot be read: No such file or directory"),
        (["classify", "--data", "broken.tsv"], "broken.tsv, line 3: the label is 'maybe'"),
        (["classify", "--run", "nobody"], "there is no run 'nobody', only story."),
        (["classify", "--trainable-blocks", "9"], "trainable_blocks must be from 0 to 1"),
        (["lora", "--rank", "99"], "rank must be from 1 to 16"),
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
