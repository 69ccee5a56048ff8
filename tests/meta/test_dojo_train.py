"""`dojo train`, `generate` and `look` on a copy of the repository, with a model that learns in a second."""

import json
import os
import signal
import time

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dojo.catalog import specification
from dojo.system import vocabulary
from dojo.train.history import begun
from dojo.train.ingredients import GPT2, katas
from dojo.train.summary import why

KATAS = katas(GPT2)
SIZES = {"vocab-size": 300, "context-length": 16, "emb-dim": 16, "n-heads": 2, "n-layers": 1, "epochs": 1}
TINY = ["--story", "--device", "cpu", *(word for name, size in SIZES.items() for word in (f"--{name}", str(size)))]


def record(scratch, *addresses, outcome="green", mark="passed"):
    """Have the copy remember a verdict on katas as they are."""
    source = (
        "import sys\n"
        "from dojo.catalog import curriculum, specification\n"
        "from dojo.learner import store\n"
        "from dojo.learner.standing import hash_of\n"
        "for address in sys.argv[3:]:\n"
        "    kata = curriculum.find(address)\n"
        "    core = [*specification.core_clauses(address)]\n"
        "    marks = dict.fromkeys(core, 'passed') | {core[-1]: sys.argv[2]}\n"
        "    about = {'outcome': sys.argv[1], 'why': [], 'clauses': marks}\n"
        "    about |= {'source': hash_of(kata.stub), 'tests': hash_of(kata.tests)}\n"
        "    store.write(address, 'verdict', about)\n"
    )
    scratch.write("record.py", source)
    done = scratch.run("record", outcome, mark, *addresses)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def solved(scratch):
    """A copy in which all the katas of a run are written and green."""
    for address in KATAS:
        scratch.write(f"katas/{address}.py", scratch.read(f"solutions/{address}.py"))
    record(scratch, *KATAS)
    return scratch


def train(scratch, *words):
    done = scratch.run("dojo", "train", *words, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def history(scratch, name="story"):
    return json.loads(scratch.read(f".dojo/runs/{name}/history.json"))


def test_a_model_learns_speaks_and_is_looked_at(scratch):
    told = train(scratch, *TINY)
    assert "borrowed from the reference" in told
    assert "your own" not in told
    assert "a table of pairs of tokens: perplexity" in told
    assert "SHA-256" in told
    assert "saved       .dojo/runs/story" in told
    assert scratch.read(".dojo/runs/story/curve.svg").startswith("<?xml")
    assert max(map(len, told.splitlines())) <= 80
    losses = history(scratch)["losses"]
    assert losses[-1] < losses[0] - 0.3, losses

    said = [scratch.run("dojo", "generate", "The ", "--max-tokens", "20", "--seed", "7") for _ in range(2)]
    assert "the space at the end belongs to the next word" in " ".join(said[0].stderr.split())
    assert said[0].returncode == 0, said[0].stderr
    assert said[0].stdout == said[1].stdout
    assert said[0].stdout.startswith("The ")
    assert len(said[0].stdout) > len("The \n")

    looked = scratch.run("dojo", "look", "The word", "--out", "seen.html")
    assert looked.returncode == 0, looked.stderr
    assert "What each head is good for" in scratch.read("seen.html")


def test_why_a_table_of_pairs_wins_is_read_from_the_losses():
    history = begun() | {"steps": [10, 20, 30], "val_losses": [5.0, 4.2, 4.7]}
    assert "lowest, 4.200, at step 20, and has risen since. The model learned its text by heart" in why(history)
    assert why(history | {"val_losses": [5.0, 4.3, 4.2]}).startswith("there was too little text")


def test_own_pieces_are_used_and_unfinished_and_wrong_ones_borrowed_and_named(solved):
    for address in ("gpt/layernorm", "pretraining/loss", "text/dataloader"):
        solved.run("dojo", "reset", address, "--yes")
    record(solved, "gpt/block", outcome="red", mark="failed")
    told = " ".join(train(solved, *TINY).split())
    assert "your own bpe_training, bpe_tokenizer, multihead, config, feedforward, model, sampling, optimizer," in told
    assert "borrowed from the reference dataloader, layernorm, loss" in told
    core = len(specification.core_clauses("gpt/block"))
    assert f"yours is not right: block, 1 of {core} clauses do not hold; the reference stands in for it." in told
    assert told.index("yours is not right") < told.index("step ")


def test_what_was_edited_since_its_verdict_is_tested_first(solved):
    wrong = solved.read("katas/gpt/config.py").replace("self.emb_dim // self.n_heads", "self.emb_dim")
    solved.write("katas/gpt/config.py", wrong)
    told = train(solved, *TINY)
    assert "testing gpt/config ..." in told
    assert "yours is not right: config" in told


def test_the_learners_own_code_is_what_runs(solved):
    own = solved.read("katas/gpt/model.py").replace(
        "        tokens, context", "        print('OWN')\n        tokens, context"
    )
    solved.write("katas/gpt/model.py", own)
    record(solved, "gpt/model")
    assert "OWN" in train(solved, *TINY)
    assert "OWN" not in train(solved, *TINY, "--solutions")


def test_fused_attention_computes_where_the_own_gives_the_same(solved):
    """The checkpoint has the weights of the learner's attention, under its names."""
    told = " ".join(train(solved, *TINY).split())
    assert "not PyTorch's fused kernel: on a CPU it is no faster with dropout" in told
    told = " ".join(train(solved, *TINY, "--drop-rate", "0").split())
    assert (
        "attention PyTorch's fused kernel, for speed; it was checked that it gives the same as the model's own" in told
    )
    own = solved.read("katas/attention/multihead.py")
    solved.write("katas/attention/multihead.py", own.replace("keys.shape[-1] ** 0.5", "keys.shape[-1] ** 0.4"))
    record(solved, "attention/multihead")
    told = " ".join(train(solved, *TINY, "--drop-rate", "0").split())
    assert "not PyTorch's fused kernel: the output is off by" in told
    assert solved.run("dojo", "generate", "The ", "--max-tokens", "2").returncode == 0


def test_an_own_piece_that_makes_a_step_long_is_named(solved):
    own = solved.read("katas/gpt/layernorm.py")
    slow = "    def forward(self, x"
    assert slow in own
    slowed = own.replace("import torch\n", "import time\n\nimport torch\n", 1)
    head, _, tail = slowed.partition(slow)
    signature, _, body = tail.partition("\n")
    solved.write("katas/gpt/layernorm.py", f"{head}{slow}{signature}\n        time.sleep(0.005)\n{body}")
    record(solved, "gpt/layernorm")
    told = " ".join(train(solved, *TINY, "--epochs", "1").split())
    assert "with your layernorm a step takes" in told
    assert "with your feedforward" not in told


def test_an_error_in_the_learners_own_file_is_told_with_its_line(solved):
    own = solved.read("katas/gpt/model.py")
    solved.write(
        "katas/gpt/model.py", own.replace("        tokens, con", "        token_ids[7000]\n        tokens, con")
    )
    record(solved, "gpt/model")
    done = solved.run("dojo", "train", *TINY)
    assert done.returncode == 2
    assert "your line: katas/gpt/model.py:" in done.stderr
    assert "token_ids[7000]" in done.stderr
    assert "next: dojo test model" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_run_overwrites_nothing(scratch):
    train(scratch, *TINY)
    first = scratch.path(".dojo/runs/story/checkpoint.safetensors").read_bytes()
    train(scratch, *TINY, "--seed", "5")
    assert scratch.path(".dojo/runs/story/checkpoint.safetensors").read_bytes() == first
    assert history(scratch)["losses"] != history(scratch, "story-2")["losses"]
    assert "there is no run 'nobody', only story-2, story." in scratch.run("dojo", "generate", "--run", "nobody").stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT and no SIGKILL for another process")
@pytest.mark.parametrize("number", ["SIGINT", "SIGKILL"])
def test_a_run_that_was_stopped_ends_where_an_undisturbed_one_ends(scratch, number):
    words = [*TINY, "--drop-rate", "0.2", "--epochs", "6", "--save-every", "0"]
    train(scratch, *words, "--name", "calm")
    process = scratch.start("dojo", "train", *words, "--name", "stopped", OMP_NUM_THREADS="1")
    deadline = time.monotonic() + 120
    while not steps_saved(scratch, "stopped") and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(getattr(signal, number))
    told, errors = process.communicate(timeout=60)
    if number == "SIGINT":
        assert process.returncode == 130, told + errors
        assert "and saved.\nnext: dojo train --resume" in told
    at = steps_saved(scratch, "stopped")
    assert 0 < at < len(history(scratch, "calm")["losses"]), "the run was not stopped on its way"
    assert f"from step {at}" in " ".join(train(scratch, "--resume", "--name", "stopped", "--device", "cpu").split())
    assert history(scratch, "stopped") == history(scratch, "calm")
    ended = [scratch.path(f".dojo/runs/{name}/checkpoint.safetensors").read_bytes() for name in ("stopped", "calm")]
    assert ended[0] == ended[1]


def steps_saved(scratch, name):
    """The step of a run's checkpoint; 0 where there is none."""
    try:
        with safe_open(scratch.path(f".dojo/runs/{name}/checkpoint.safetensors"), framework="pt") as file:
            return json.loads(file.metadata()["checkpoint"])["step"]
    except (OSError, SafetensorError):
        return 0


def test_two_processes_have_the_losses_of_one(scratch):
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_gloo_available()):
        pytest.skip("this torch has no gloo")
    words = [*TINY, "--drop-rate", "0"]
    train(scratch, *words, "--name", "one")
    start = ("torch.distributed.run", "--nproc-per-node", "2", "-m", "dojo.train")
    done = scratch.run(*start, *words, "--name", "two", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a table of pairs") == 1, "only the first process speaks"
    one, two = history(scratch, "one"), history(scratch, "two")
    assert len(one["losses"]) >= 20
    assert two["losses"][:20] == pytest.approx(one["losses"][:20], rel=1e-5)
    assert two["tokens_seen"] == one["tokens_seen"]
    assert two["val_losses"] == pytest.approx(one["val_losses"], rel=1e-4)


def test_gpt2_speaks_from_a_file_of_its_weights(scratch, tmp_path):
    if not all(map(vocabulary.is_cached, vocabulary.FILES)):
        pytest.skip("GPT-2's vocabulary is not on this machine: `dojo doctor --fetch`")
    torch.manual_seed(1)
    wide, sizes = 16, {"wte": (50_257, 16), "wpe": (8, 16)}
    tensors = {f"{name}.weight": torch.randn(size) for name, size in sizes.items()}
    shapes = {"attn.c_attn": (wide, 3 * wide), "attn.c_proj": (wide, wide)}
    shapes |= {"mlp.c_fc": (wide, 4 * wide), "mlp.c_proj": (4 * wide, wide)}
    for name, (rows, columns) in shapes.items():
        tensors |= {f"h.0.{name}.weight": torch.randn(rows, columns), f"h.0.{name}.bias": torch.randn(columns)}
    for name in ("h.0.ln_1", "h.0.ln_2", "ln_f"):
        tensors |= {f"{name}.weight": torch.ones(wide), f"{name}.bias": torch.zeros(wide)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"n_head": 2}', encoding="utf-8")
    words = ("--weights", str(tmp_path / "model.safetensors"), "--device", "cpu")
    done = scratch.run("dojo", "generate", "Hello", "--max-tokens", "5", "--seed", "1", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Hello")
    assert scratch.run("dojo", "look", "Hello there", *words).returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--text", "nowhere.txt"], "nowhere.txt cannot be read: No such file or directory"),
        (["--text", "bytes.txt"], "bytes.txt is not UTF-8: byte 0xff at offset 3"),
        (["--text", "short.txt"], "short.txt is too short: it has "),
        (["--text", "short.txt", "--story"], "choose one text"),
        (["--resume"], "there is no run to continue: begin with `dojo train --quick`"),
        (["--resume", "--story"], "--resume continues a run"),
        (["--story", "--emb-dim", "10", "--n-heads", "4"], "4 heads do not share 10 features evenly"),
        (["--story", "--vocab-size", "100"], "a vocabulary has at least 258 tokens"),
        (["--story", "--name", "../elsewhere"], "'../elsewhere' cannot be the name of a run"),
        (["--device", "tpu"], "there is no tpu here"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_begins(scratch, words, told):
    scratch.write("bytes.txt", b"abc\xff")
    scratch.write("short.txt", "A short text.\n" * 20)
    done = scratch.run("dojo", "train", *words)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not list(scratch.path(".dojo").glob("runs/*")), "a run that never was leaves no folder"


def test_a_plain_recount_is_offered_to_be_borrowed(solved):
    own, least = solved.read("katas/text/bpe_training.py"), solved.read("dojo/train/slowness.py")
    slow = own.replace("        words = {_merged", "        import time; time.sleep(0.02)\n        words = {_merged")
    assert slow != own
    solved.write("katas/text/bpe_training.py", slow)
    solved.write("dojo/train/slowness.py", least.replace("LIMIT = 20.0", "LIMIT = 1.0"))
    record(solved, "text/bpe_training")
    told = " ".join(train(solved, *TINY, "--vocab-size", "380").split())
    assert "your bpe_training would take about" in told
    assert "It is borrowed." in told
