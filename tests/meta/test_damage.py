"""What a damaged run costs: a sentence that names the file and the way on, never a traceback, and nothing else."""

import json
import os
import random
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dojo.commands.train import slower
from dojo.datasets.messages import Message
from dojo.datasets.texts import Text
from dojo.errors import DojoError
from dojo.finetune import classifier
from dojo.finetune.recipe import LORA, Recipe
from dojo.finetune.recipe import check as check_of_recipe
from dojo.learner import store
from dojo.serving.finder import served
from dojo.train import runs, saved, tokens
from dojo.train.loop import Loop
from dojo.train.narrating import Narrator
from dojo.train.parallel import Team
from dojo.train.session import open_session
from dojo.train.settings import Settings

SETTINGS = Settings(
    vocab_size=260, context_length=4, emb_dim=4, n_heads=2, n_layers=1, batch_size=4, epochs=1, drop_rate=0.0
)
MESSAGES = [Message("unwanted", "a bee sat", ""), Message("wanted", "the bee", "")]


@pytest.fixture(scope="module", autouse=True)
def _reference():
    with served({"*": "solutions"}):
        yield


def placed(folder):
    """Runs live below a folder, and `.dojo` is theirs."""
    patch = pytest.MonkeyPatch()
    for module, name, value in ((store, "ROOT", folder), (store, "FOLDER", folder / ".dojo")):
        patch.setattr(module, name, value)
    patch.setattr(runs, "RUNS", folder / ".dojo" / "runs")
    return patch


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run that has gone 4 steps, and a fine-tuning of it of each kind."""
    folder = tmp_path_factory.mktemp("made")
    patch = placed(folder)
    text = Text("bees.txt", "a bee sat on the sea.\n" * 20, "0" * 64)
    run = runs.new("story")
    tokens.write(run, text, tokens.vocabulary_for(text, SETTINGS), SETTINGS)
    size = len(tokens.Vocabulary.load(run.tokenizer).vocab)
    about = {"kind": runs.TRAIN, "text": text.name, "sha256": text.sha256, "settings": SETTINGS.as_data()}
    about |= {"config": SETTINGS.config(size), "pieces": {}}
    session = open_session(run, SETTINGS, about["config"], "cpu", Team())
    session.settle(about)
    assert Loop(session, Narrator(), 0.0, str).run()
    for kind in ("classify", LORA):
        recipe = Recipe(kind=kind, epochs=1, batch_size=2, rank=2)
        about = {"kind": kind, "base": "story", "data": "m.tsv", "path": "m.tsv", "sha256": "0", "pieces": {}}
        of_kind = classifier.classifier(run, recipe, "cpu")
        about |= {"recipe": recipe.as_data(), "max_length": 4}
        session = classifier.open_session(runs.new(kind), of_kind, recipe, MESSAGES, MESSAGES)
        session.settle(about)
        save_file(of_kind.adapter() if kind == LORA else {"none": torch.zeros(1)}, session.run.adapter)
    patch.undo()
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made / ".dojo", tmp_path / ".dojo")
    patch = placed(tmp_path)
    yield tmp_path / ".dojo" / "runs"
    patch.undo()


def resume(name=""):
    """What `dojo train --resume` does before its first step."""
    run = runs.latest(name)
    about = run.about()
    return open_session(run, Settings.of_data(about["settings"]), about["config"], "cpu", Team())


def speak(name=""):
    """What `dojo generate` and `dojo look` do before the first token."""
    return saved.of_run(runs.latest(name), "cpu")


def classify(name):
    """What `dojo classify` does before it reads the message."""
    return classifier.of_run(runs.latest(name, ("classify", LORA), "dojo finetune classify"), "cpu")


def resume_tuning(name):
    """What `dojo finetune KIND --resume` does before its first step."""
    run = runs.latest(name, ("classify", LORA), f"dojo finetune {name}")
    about = run.about(check_of_recipe)
    recipe = Recipe.of_data(about["recipe"])
    begun = classifier.classifier(runs.latest(about["base"]), recipe, "cpu")
    return classifier.open_session(run, begun, recipe, MESSAGES, MESSAGES)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def another(make):
    """Something else in place of a file."""

    def put(path):
        content = path.read_bytes()
        path.unlink()
        make(path, content)

    return put


def linked(path, content):
    path.with_name("elsewhere").write_bytes(content)
    path.symlink_to("elsewhere")


# What happens to any file.
EVERYWHERE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "NUL bytes": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "other bytes": lambda path: path.write_bytes(random.Random(1).randbytes(500)),
    "text": lambda path: path.write_text("not what you think\n", encoding="utf-8"),
    "a folder": another(lambda path, content: path.mkdir()),
    "a link": another(linked),
    "a link to nothing": another(lambda path, content: path.symlink_to("nowhere")),
    "a pipe": another(lambda path, content: os.mkfifo(path)),
}


def edited(change):
    """An edit of a file of JSON, as parsed; what the edit returns is written in its place, if it is anything."""

    def edit(path):
        content = json.loads(path.read_bytes())
        path.write_text(json.dumps(change(content) or content), encoding="utf-8")

    return edit


def setting(place, **values):
    """Other values in run.json."""

    def change(about):
        for name in filter(None, place.split(".")):
            about = about[name]
        about.update(values)

    return edited(change)


def without(name):
    return edited(lambda about: {key: value for key, value in about.items() if key != name})


RUN_JSON = {
    "a list": edited(lambda about: [about]),
    "a number": edited(lambda about: 7),
    "an empty object": lambda path: path.write_text("{}", encoding="utf-8"),
    "deeply nested": lambda path: path.write_text("[" * 100_000, encoding="utf-8"),
    **{f"no {name}": without(name) for name in ("kind", "text", "sha256", "settings", "config", "pieces")},
    "kind is a list": setting("", kind=["train"]),
    "text is a number": setting("", text=7),
    "pieces is a list": setting("", pieces=[1]),
    "settings is a list": setting("", settings=[1]),
    "config is text": setting("", config="small"),
    "emb_dim is text": setting("settings", emb_dim="4"),
    "emb_dim is 0": setting("settings", emb_dim=0),
    "emb_dim is a fraction": setting("settings", emb_dim=4.5),
    "emb_dim is true": setting("settings", emb_dim=True),
    "emb_dim is null": setting("settings", emb_dim=None),
    "batch_size is -1": setting("settings", batch_size=-1),
    "epochs is 1e400": setting("settings", epochs=float("inf")),
    "learning_rate is nan": setting("settings", learning_rate=float("nan")),
    "learning_rate is text": setting("settings", learning_rate="fast"),
    "drop_rate is 1": setting("settings", drop_rate=1.0),
    "held_out is 0": setting("settings", held_out=0.0),
    "seed is too large": setting("settings", seed=2**70),
    "of a later version": setting("settings", rotary=True),
    "of an unknown model": setting("settings", model="mamba"),
    "model is a list": setting("settings", model=["modern"]),
    "vocab_size is text": setting("config", vocab_size="many"),
    "vocab_size is negative": setting("config", vocab_size=-5),
    "vocab_size is another": setting("config", vocab_size=300),
    "config of another model": setting("config", n_layers=3),
    "config without a name": edited(lambda about: about["config"].pop("emb_dim") and None),
    "config with another name": setting("config", rotary=True),
}
TOKENIZER = {
    "a list": edited(lambda content: [1]),
    "no merges": without("merges"),
    "vocab is a list": setting("", vocab=[1]),
    "an id is text": setting("vocab", x="61"),
    "a token is no hex": setting("vocab", **{"3": "zz"}),
    "a token is missing": edited(lambda content: content["vocab"].pop("3") and None),
    "a byte twice": setting("vocab", **{"3": "04"}),
    "no end of text": edited(lambda content: content["vocab"].popitem() and None),
    "a merge of nothing": setting("", merges=[["ff", "ff"]]),
    "a merge of one": setting("", merges=[["61"]]),
    "a few tokens more": edited(
        lambda content: content["vocab"].update({str(len(content["vocab"])): b"<|endoftext|>".hex()})
    ),
}


def array(make):
    return lambda path: np.save(path, make(np.load(path)))


ARRAY = {
    "two axes": array(lambda ids: ids[:4].reshape(2, 2)),
    "fractions": array(lambda ids: ids.astype(np.float32)),
    "negative": array(lambda ids: ids.astype(np.int64) - 500),
    "too large": array(lambda ids: ids + 5000),
    "nothing": array(lambda ids: ids[:0]),
    "objects": lambda path: np.save(path, np.array([{}, []], dtype=object), allow_pickle=True),
}


def tensors(change):
    """An edit of a safetensors file, its metadata kept."""

    def edit(path):
        found = load_file(path)
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
        found = {name: one.clone() for name, one in found.items()}
        changed = change(found, about)
        path.unlink()
        found, about = changed if isinstance(changed, tuple) else (found, about)
        save_file(found, path, about)

    return edit


def stated(change):
    """An edit of what a checkpoint says beside its tensors."""

    def edit(found, about):
        content = json.loads(about["checkpoint"])
        change(content)
        return found, about | {"checkpoint": json.dumps(content)}

    return tensors(edit)


BIAS = "model.final_norm.shift"
CHECKPOINT = {
    "no tensors": tensors(lambda found, about: ({}, about)),
    "a tensor is missing": tensors(lambda found, about: found.pop(BIAS)),
    "another shape": tensors(lambda found, about: found.update({BIAS: torch.zeros(9)})),
    "nan": tensors(lambda found, about: found[BIAS].fill_(float("nan"))),
    "infinite": tensors(lambda found, about: found[BIAS].fill_(float("inf"))),
}
TOO_MUCH = {"a tensor more": tensors(lambda found, about: found.update({"model.more": torch.zeros(1)}))}
RESUMED = {
    "no metadata": tensors(lambda found, about: (found, {"format": "pt"})),
    "metadata is not JSON": tensors(lambda found, about: (found, {"checkpoint": "{"})),
    "step is text": stated(lambda content: content.update(step="four")),
    "step is negative": stated(lambda content: content.update(step=-1)),
    "step is past the end": stated(lambda content: content.update(step=9999)),
    "another optimizer": stated(lambda content: content["optimizer"].update({"class": "SGD"})),
    "no optimizer": stated(lambda content: content.pop("optimizer")),
    "no random state": stated(lambda content: content.pop("random")),
    "averages of another shape": tensors(
        lambda found, about: found.update({next(n for n in found if n.endswith("exp_avg")): torch.zeros(3, 3)})
    ),
}
HISTORY = {
    "a list": edited(lambda content: [1]),
    "no losses": without("losses"),
    "losses is text": setting("", losses="1 2 3"),
    "a loss is text": edited(lambda content: content["losses"].insert(0, "1")),
    "too short": edited(lambda content: content["losses"].clear()),
    "lists that do not fit": edited(lambda content: content["steps"].append(9)),
    "steps that go back": edited(lambda content: content["steps"].reverse()),
}
POSIX = pytest.mark.skipif(os.name == "nt", reason="no pipes, and no links without a right")


def table(*parts):
    """A case for each damage of each part: a file, the damages, and what stumbles over it."""
    return [
        pytest.param(
            file, damage, use, id=f"{file}: {name}, {use.__name__}", marks=POSIX if name.startswith("a link") else ()
        )
        for file, damages, uses in parts
        for name, damage in damages.items()
        if not (name == "a pipe" and os.name == "nt")
        for use in uses
    ]


STUMBLES = table(
    ("story/run.json", EVERYWHERE | RUN_JSON, (resume, speak)),
    ("story/tokenizer.json", EVERYWHERE | TOKENIZER, (speak,)),
    ("story/learned.npy", EVERYWHERE | ARRAY, (resume,)),
    ("story/held-out.npy", EVERYWHERE | ARRAY, (resume,)),
    ("story/checkpoint.safetensors", EVERYWHERE | CHECKPOINT | TOO_MUCH, (speak,)),
    (
        "story/checkpoint.safetensors",
        {name: damage for name, damage in EVERYWHERE.items() if name != "missing"} | CHECKPOINT | RESUMED,
        (resume,),
    ),
)


@pytest.mark.parametrize(("file", "damage", "use"), STUMBLES)
def test_damage_is_told_with_the_file_and_the_way_on(folder, file, damage, use):
    damage(folder / file)
    with pytest.raises(DojoError) as caught:
        use("story")
    told = str(caught.value)
    assert ".dojo/runs/story" in told or told.startswith(("story has no checkpoint", "there is no run")), told
    assert "`dojo train" in told, f"no way on in {told}"
    assert "\n" not in told
    assert len(told) < 300, told


TUNED = table(
    *(
        (f"{kind}/run.json", EVERYWHERE | {"no recipe": without("recipe"), "no base": without("base")}, uses)
        for kind, uses in (("classify", (classify, resume_tuning)), (LORA, (classify, resume_tuning)))
    ),
    (
        "classify/run.json",
        {
            "rank is 0": setting("recipe", rank=0),
            "targets is text": setting("recipe", targets="W_query"),
            "targets is numbers": setting("recipe", targets=[1]),
            "of another kind": setting("recipe", kind=LORA),
            "max_length is 0": setting("", max_length=0),
            "learns is something else": setting("recipe", learns="nothing"),
            "temperature is 0": setting("", temperature=0.0),
            "temperature is text": setting("", temperature="hot"),
        },
        (classify,),
    ),
    (f"{LORA}/adapter.safetensors", EVERYWHERE, (classify,)),
    ("classify/checkpoint.safetensors", EVERYWHERE, (classify,)),
    ("story/checkpoint.safetensors", EVERYWHERE, (classify, resume_tuning)),
)


@pytest.mark.parametrize(("file", "damage", "use"), TUNED)
def test_damage_of_a_fine_tuning_is_told_with_the_file_and_the_way_on(folder, file, damage, use):
    damage(folder / file)
    name = file.partition("/")[0]
    with pytest.raises(DojoError) as caught:
        use("classify" if name == "story" else name)
    told = str(caught.value)
    assert "`dojo " in told, f"no way on in {told}"
    assert file in told or name in told or "there is no run" in told, told
    assert "\n" not in told


@pytest.mark.parametrize("name", EVERYWHERE | HISTORY)
def test_a_damaged_history_costs_the_losses_alone(folder, name):
    if os.name == "nt" and name.startswith(("a link", "a pipe")):
        pytest.skip("no pipes, and no links without a right")
    whole = resume()
    (EVERYWHERE | HISTORY)[name](folder / "story" / "history.json")
    session = resume()
    assert session.start == whole.start > 0
    assert ".dojo/runs/story/history.json" in session.lost
    assert [torch.isnan(torch.tensor(loss)) for loss in session.history["losses"]] == [True] * session.start
    assert speak().config


@pytest.mark.parametrize("place", [".dojo/runs", ".dojo/runs/story"])
def test_a_file_in_the_place_of_a_folder_is_told(folder, place):
    path = folder.parents[1] / place
    shutil.rmtree(path)
    path.write_text("in the way", encoding="utf-8")
    with pytest.raises(DojoError, match=f"{place} is not a folder.*: move it away, and begin with `dojo train"):
        resume("story")


def test_what_may_not_be_read_is_told(folder, monkeypatch):
    opened = os.open

    def refuse(path, *more):
        if str(path).endswith((".json", ".npy", ".safetensors")) and "story" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *more)

    monkeypatch.setattr(os, "open", refuse)
    for use in (resume, speak):
        with pytest.raises(DojoError, match=r"runs/story/run\.json cannot be read: Permission denied\. .*`dojo train"):
            use("story")


def test_of_two_runs_the_one_that_can_be_read_is_taken(folder):
    shutil.copytree(folder / "story", folder / "story-2")
    (folder / "story-2" / "run.json").write_text("{", encoding="utf-8")
    os.utime(folder / "story-2")
    assert runs.latest().name == "story"
    with pytest.raises(DojoError, match=r"story-2/run\.json is damaged"):
        runs.latest("story-2")


def test_the_way_on_names_a_run_that_is_not_the_last(folder):
    (folder / "story" / "checkpoint.safetensors").unlink()
    os.utime(folder / "story", (1, 1))
    shutil.copytree(folder / "story", folder / "story-2")
    os.utime(folder / "story-2", (2, 2))
    assert runs.Run("story-2").again == "dojo train --resume"
    with pytest.raises(DojoError, match="story has no checkpoint: `dojo train --resume --name story` continues it"):
        speak("story")


def test_a_run_without_a_checkpoint_begins_again(folder):
    (folder / "story" / "checkpoint.safetensors").unlink()
    session = resume()
    assert (session.start, session.history["losses"], session.lost) == (0, [], "")


def test_what_is_not_yet_a_run_is_not_found_and_goes_when_its_process_is_gone(folder, monkeypatch):
    half = runs.new("half")
    assert runs.latest().name == "story", "it hides no older run"
    monkeypatch.setattr(store, "gone", lambda process: False)
    assert runs.new("half").name == "half-2", "somebody is still making it"
    monkeypatch.setattr(store, "gone", lambda process: True)
    assert runs.new("half").name == "half"
    assert half.folder.exists()
    assert not (folder / "half-2").exists()


def test_a_run_that_diverges_says_so_and_goes_on_with_a_smaller_rate(folder):
    (folder / "story" / "checkpoint.safetensors").unlink()
    session = resume()
    with torch.no_grad():
        session.model.final_norm.scale.fill_(float("inf"))
    with pytest.raises(DojoError) as caught:
        Loop(session, Narrator(), 0.0, str).run()
    expected = "at step 1: the run has diverged. `dojo train --resume --learning-rate 0.0002` continues from step 0"
    assert expected in str(caught.value)
    run = runs.latest()
    assert run.diverged == "story diverged at step 1, with a learning rate of 0.002"
    about = run.about()
    for rate, told in ((None, "diverged at step 1, .* --learning-rate 0.0002"), (0.002, "a smaller --learning-rate")):
        with pytest.raises(Exception, match=told):
            slower(run, about["settings"], rate)
    slower(run, about["settings"], 0.001)
    run.note({name: value for name, value in about.items() if name != "diverged"})
    assert (run.about()["settings"]["learning_rate"], run.diverged) == (0.001, "")


def test_weights_that_are_no_numbers_are_never_saved(folder):
    (folder / "story" / "checkpoint.safetensors").unlink()
    session = resume()
    loop = Loop(session, Narrator(), 0.0, str)
    loop.narrator.begin(0, session.total)
    with torch.no_grad():
        session.model.final_norm.scale.fill_(float("nan"))
    with pytest.raises(DojoError, match="not every weight is a finite number at step 1: the run has diverged"):
        loop._after_step(1, 2.0, SimpleNamespace(steps=[]))
    assert not (folder / "story" / "checkpoint.safetensors").exists()
