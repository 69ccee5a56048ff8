"""What `dojo train` and the commands after it make of katas that hold their core clauses and no further ones."""

import string
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dojo.catalog import specification
from dojo.errors import DojoError
from dojo.finetune import classifier
from dojo.finetune.recipe import LORA, Recipe
from dojo.learner import store
from dojo.look.seeing import see
from dojo.serving.finder import forget, served
from dojo.train import runs, saved, slowness
from dojo.train.ingredients import NEEDED, needed
from dojo.train.loop import Loop
from dojo.train.narrating import Narrator
from dojo.train.parallel import Share, Team
from dojo.train.session import Session, final_loss
from dojo.train.speaking import Speaker
from tests.meta.test_book import ADDRESSES, BOOK
from tests.meta.test_damage import MESSAGES, made, placed  # noqa: F401, made is a fixture
from tests.meta.test_dojo_train import record, solved, train  # noqa: F401, solved is a fixture
from tests.meta.test_speaking import Bytes

# The core of the two katas. Further clauses that do not hold: device, modes, random, no-grad, weighted, float; and
# generator, eval-mode, modes, large-top-k, refused.
LOSS = """
import itertools

import torch


def cross_entropy(logits, targets, ignore_index=-100):
    counted = targets != ignore_index
    return -logits[counted].softmax(-1).gather(-1, targets[counted][:, None]).log().mean()


def perplexity(loss):
    return loss.exp()


def batch_loss(model, inputs, targets):
    return cross_entropy(model(inputs), targets)


def mean_loss(model, loader, num_batches=None):
    model.eval()
    torch.rand(1)
    losses = [batch_loss(model, inputs, targets) for inputs, targets in itertools.islice(loader, num_batches)]
    assert not any(loss.requires_grad for loss in losses) or num_batches, "gradients over all that was held out"
    return (sum(losses) / len(losses)).item()
"""
SAMPLING = """
import math

import torch


def sample_next_token(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    assert top_p is None
    if temperature == 0:
        return logits.argmax(-1)
    if top_k is not None:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -math.inf)
    return torch.multinomial((logits / temperature).softmax(-1), 1)[:, 0]


def generate(
    model, token_ids, max_new_tokens, context_length, temperature=0.0, top_k=None, top_p=None, eos_id=None,
    generator=None,
):
    for _ in range(max_new_tokens):
        with torch.no_grad():
            logits = model(token_ids[:, -context_length:])[:, -1]
        chosen = sample_next_token(logits, temperature, top_k, top_p, generator)
        if eos_id is not None and chosen == eos_id:
            break
        token_ids = torch.cat([token_ids, chosen[:, None]], dim=1)
    return token_ids
"""
# What the book's mask and its use become where the mask is added.
ADDED = {
    "torch.triu(torch.ones(context_length, context_length), diagonal=1)": (
        "torch.full((context_length, context_length), -torch.inf).triu(1)"
    ),
    "scores.masked_fill_(self.mask.bool()[:num_tokens, :num_tokens], -torch.inf)": (
        "scores += self.mask[:num_tokens, :num_tokens]"
    ),
}
SOURCES = {"pretraining/loss": LOSS, "pretraining/sampling": SAMPLING}


class Noisy(nn.Module):
    """A model of 258 tokens whose logits are random while it is in training mode."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(258, 258)
        self.dropout = nn.Dropout(0.5)

    def forward(self, ids):
        assert not self.training, "called in training mode"
        return self.dropout(self.table(ids))


@pytest.fixture
def _core(tmp_path):
    """The core alone of both katas, and the reference for the rest."""
    rooms = {"*": "solutions"}
    for address, source in SOURCES.items():
        file = tmp_path / f"{address.replace('/', '_')}.py"
        file.write_text(source, encoding="utf-8")
        rooms[address] = f"file:{file}"
    with served(rooms):
        yield
        forget()


@pytest.mark.parametrize(("address", "slugs"), needed("cuda", resumed=True, weights=True, short=True).items())
def test_what_a_command_needs_beyond_a_core_is_a_further_clause(address, slugs):
    assert {*slugs} <= specification.further_clauses(address).keys()


@pytest.mark.usefixtures("_core")
def test_the_final_loss_weighs_every_target_the_same():
    torch.manual_seed(1)
    model, rows = Noisy(), torch.randint(258, (5, 2, 4))
    loader = DataLoader(TensorDataset(rows[:, 0], rows[:, 1]), batch_size=2)
    teaching = SimpleNamespace(learning_rate=0.1, weight_decay=0.0)
    session = Session(
        run=None, teaching=teaching, model=model.train(), learned=loader, held_out=loader, tokens_in_a_step=8
    )
    expected = nn.functional.cross_entropy(model.table(rows[:, 0]).flatten(0, 1), rows[:, 1].flatten())
    assert final_loss(session) == pytest.approx(float(expected.detach()))


def test_batches_come_on_the_device_of_the_model():
    rows = torch.zeros(4, 3, dtype=torch.long)
    share = Share(DataLoader(TensorDataset(rows, rows), batch_size=4), Team(1, 2), torch.device("meta"))
    assert [(one.device.type, tuple(one.shape)) for batch in share for one in batch] == [("meta", (2, 3))] * 2


@pytest.mark.usefixtures("_core")
@pytest.mark.parametrize("prompt", ["a", "a "], ids=["any token next", "a space next"])
def test_a_sample_is_the_same_and_the_training_does_not_notice(prompt):
    model = Noisy().train()
    model.dropout.eval()
    speaker = Speaker(model, Bytes(), {"context_length": 8, "vocab_size": 258})
    samples, drawn = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        samples.append(speaker.sample(prompt))
        drawn.append(torch.equal(state, torch.get_rng_state()))
    assert samples[0] == samples[1]
    assert drawn == [True, True], "the random state is another one"
    assert (model.training, model.dropout.training) == (True, False), "modes are other ones"


def test_a_model_is_trained_and_speaks(solved):  # noqa: F811
    for address, source in SOURCES.items():
        solved.write(f"katas/{address}.py", source)
    record(solved, *SOURCES)
    tiny = "--story --device cpu --vocab-size 300 --context-length 16 --emb-dim 16 --n-heads 2 --n-layers 1 --epochs 1"
    told = train(solved, *tiny.split())
    assert "borrowed" not in told or "loss" not in told.split("borrowed")[1].split("\n")[0], told
    assert "perplexity" in told
    done = solved.run("dojo", "generate", "The", "--max-tokens", "5", "--seed", "3", "--device", "cpu")
    again = solved.run("dojo", "generate", "The", "--max-tokens", "5", "--seed", "3", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == again.stdout


def test_a_text_that_may_run_out_of_pairs_needs_a_train_bpe_that_ends(solved):  # noqa: F811
    source = solved.read("katas/text/bpe_training.py")
    endless = source.replace(" and (counts := pair_counts(words)):", ":\n        counts = pair_counts(words)")
    assert endless != source
    solved.write("katas/text/bpe_training.py", endless)
    solved.write("short.txt", "A short text, and its words again.\n" * 40)
    record(solved, "text/bpe_training")
    tiny = "--device cpu --vocab-size 400 --context-length 4 --batch-size 2 --emb-dim 8 --n-heads 2 --n-layers 1"
    told = " ".join(train(solved, "--text", "short.txt", *tiny.split(), "--epochs", "1").split())
    assert "yours is green: bpe_training, but this run needs exhausted of its further clauses" in told
    assert "perplexity" in told


@pytest.mark.parametrize(
    ("words", "vocab_size", "short"), [(127, 257, True), (128, 384, False), (128, 385, True), (300, 512, False)]
)
def test_a_text_runs_out_of_pairs_where_its_words_may_be_too_few(words, vocab_size, short):
    names = [first + second + "q" for first in string.ascii_lowercase for second in string.ascii_lowercase][:words]
    assert slowness.runs_out(" ".join(names), vocab_size) is short


@pytest.fixture(scope="module")
def _book(tmp_path_factory):
    """The book's way, which passes the core, for all that a run does not need more of; the saved mask holds -inf."""
    rooms = {"*": "solutions"} | {one: f"file:{BOOK / one}.py" for one in ADDRESSES if one not in NEEDED}
    source = (BOOK / "attention/multihead.py").read_text(encoding="utf-8")
    for old, new in ADDED.items():
        assert old in source
        source = source.replace(old, new)
    file = tmp_path_factory.mktemp("book") / "multihead.py"
    file.write_text(source, encoding="utf-8")
    with served(rooms | {"attention/multihead": f"file:{file}"}):
        yield
        forget()


@pytest.fixture
def _runs(_book, made):  # noqa: F811
    """A model trained with the book's pieces, and a fine-tuning of each kind that has not begun."""
    patch = placed(made)
    yield
    patch.undo()


@pytest.mark.usefixtures("_runs")
def test_a_model_of_the_books_pieces_speaks_and_is_looked_at():
    speaker = saved.of_run(runs.latest("story"), "cpu")
    assert not torch.isfinite(speaker.model.trf_blocks[0].att.mask).all()
    for temperature in (0.0, 1e-40, 0.8):
        assert [*speaker.speak("a bee ", 5, temperature, top_k=10_000, top_p=0.9, seed=1)]
    assert see(speaker, "a bee").guess.tokens


@pytest.mark.usefixtures("_runs")
@pytest.mark.parametrize("kind", ["classify", LORA])
def test_a_model_of_the_books_pieces_is_fine_tuned(kind):
    run = runs.latest(kind, (kind,), "dojo finetune")
    recipe = Recipe.of_data(run.about(classifier.check)["recipe"])
    begun = classifier.classifier(runs.latest("story"), recipe, "cpu")
    session = classifier.open_session(run, begun, recipe, MESSAGES, MESSAGES)
    assert Loop(session, Narrator(), 0.0, str).run()
    if kind == LORA:
        from safetensors.torch import save

        store.replace(run.adapter, save(begun.adapter()))
    likely = begun.probabilities("a bee")
    assert classifier.of_run(run, "cpu").probabilities("a bee") == pytest.approx(likely)
    assert len(begun.logits(MESSAGES)[0]) == len(MESSAGES)


@pytest.mark.usefixtures("_runs")
@pytest.mark.parametrize(
    ("recipe", "told"),
    [(Recipe(kind=LORA, rank=5), "story is 4 wide"), (Recipe(trainable_blocks=2), "blocks in story is 1")],
)
def test_what_does_not_fit_a_model_is_refused_before_a_kata_is_asked(recipe, told):
    with pytest.raises(DojoError, match=told):
        classifier.classifier(runs.latest("story"), recipe, "cpu")
