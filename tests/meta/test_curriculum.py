"""dojo/catalog/curriculum.py: the list of katas, their names on the command line, and what they build on."""

import pytest

from dojo.catalog import curriculum, estimate
from dojo.catalog.curriculum import Kata, NoCurriculum, UnknownKata

LIST = """
[parts]
text = "Text"

[[kata]]
address = "text/bpe_training"
title = "Train it"
book = "2.5"
minutes = 60

[[kata]]
address = "text/bpe_tokenizer"
title = "Use it"
book = "2.5"
minutes = 45

[[kata]]
address = "attention/causal"
title = "Hide the future"
book = "3.5"
minutes = 45

[[kata]]
address = "modern/causal"
title = "Hide it again"
book = ""
minutes = 45
"""


def forget():
    for function in (curriculum._read, curriculum.katas, curriculum.parts):
        function.cache_clear()
    curriculum.prerequisites.cache_clear()
    curriculum._imports.cache_clear()


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """A repository with that list and nothing else."""
    (tmp_path / "katas").mkdir()
    (tmp_path / "katas" / "curriculum.toml").write_text(LIST, encoding="utf-8")
    monkeypatch.setattr(curriculum, "ROOT", tmp_path)
    monkeypatch.setattr(curriculum, "CURRICULUM", tmp_path / "katas" / "curriculum.toml")
    forget()
    yield tmp_path
    forget()


def test_the_real_list_has_every_solution_once():
    addresses = [kata.address for kata in curriculum.katas()]
    solutions = {
        path.relative_to(curriculum.ROOT / "solutions").with_suffix("").as_posix()
        for path in (curriculum.ROOT / "solutions").rglob("*.py")
        if path.name != "__init__.py"
    }
    assert sorted(addresses) == sorted(solutions)


def test_a_kata_knows_its_files(listed):
    kata = curriculum.find("attention/causal")
    names = ("stub", "solution", "tests", "mistakes", "reach", "page", "figure", "drawing", "bench")
    assert [getattr(kata, name).relative_to(listed).as_posix() for name in names] == [
        "katas/attention/causal.py",
        "solutions/attention/causal.py",
        "tests/attention/test_causal.py",
        "tests/attention/causal.mistakes.toml",
        "tests/attention/causal.reach.json",
        "docs/attention/causal.md",
        "docs/figures/attention/causal.svg",
        "docs/figures/attention/causal.py",
        "tests/attention/bench_causal.py",
    ]


def test_parts_keep_the_order_of_the_list(listed):
    assert curriculum.parts() == {"text": "Text", "attention": "Attention", "modern": "Modern"}


@pytest.mark.parametrize(
    ("book", "section"),
    [("2.5", "2.5"), ("3.3, 5.1", "3.3"), ("2.2 to 2.4", "2.2"), ("5.2, D.1 to D.3", "5.2"), ("", "")],
)
def test_the_first_section_is_the_one_to_read_first(book, section):
    assert Kata("text/none", "None", book, 1).section == section


@pytest.mark.parametrize(
    ("word", "address"),
    [
        ("attention/causal", "attention/causal"),
        ("bpe_training", "text/bpe_training"),
        ("bpe_tr", "text/bpe_training"),
        ("att", "attention/causal"),
        ("text/bpe_to", "text/bpe_tokenizer"),
        ("ATTENTION/Causal", "attention/causal"),
        ("katas/attention/causal.py", "attention/causal"),
        (r"katas\attention\causal.py", "attention/causal"),
    ],
)
def test_a_kata_is_found_by_address_last_word_or_clear_beginning(listed, word, address):
    assert curriculum.find(word).address == address


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("causal", "'causal' could be any of: attention/causal, modern/causal."),
        ("bpe", "'bpe' could be any of: text/bpe_training, text/bpe_tokenizer."),
        ("bpe_trianing", "no kata is called 'bpe_trianing'. Did you mean bpe_training"),
        ("xyzzy", "no kata is called 'xyzzy'. `dojo` lists them all."),
        ("", "no kata is called ''."),
    ],
)
def test_an_unclear_word_gets_names(listed, word, told):
    with pytest.raises(UnknownKata) as caught:
        curriculum.find(word)
    assert str(caught.value).startswith(told)


def test_the_short_name_is_the_address_where_the_last_word_is_taken_twice(listed):
    assert [curriculum.short(kata) for kata in curriculum.katas()] == [
        "bpe_training",
        "bpe_tokenizer",
        "attention/causal",
        "modern/causal",
    ]


def test_prerequisites_are_the_imports_of_solution_and_test_and_what_these_import(listed):
    def write(path, text):
        (listed / path).parent.mkdir(parents=True, exist_ok=True)
        (listed / path).write_text(text, encoding="utf-8")

    write("solutions/modern/causal.py", "from ..attention.causal import CausalAttention\nimport torch\n")
    write("solutions/attention/causal.py", "from ..text import bpe_tokenizer\n")
    write(
        "tests/text/test_bpe_tokenizer.py",
        "from katas.text.bpe_training import train_bpe\nimport katas.modern.causal\n",
    )
    found = [kata.address for kata in curriculum.prerequisites(curriculum.find("modern/causal"))]
    assert found == ["text/bpe_training", "text/bpe_tokenizer", "attention/causal"]
    assert curriculum.prerequisites(curriculum.find("bpe_training")) == ()


def test_a_list_that_is_missing_or_damaged_says_so(listed):
    curriculum.CURRICULUM.write_text("[[kata]]\naddress = 'a/b'\n", encoding="utf-8")
    forget()
    with pytest.raises(NoCurriculum, match="title"):
        curriculum.katas()
    curriculum.CURRICULUM.write_text("[[kata", encoding="utf-8")
    forget()
    with pytest.raises(NoCurriculum, match="cannot be read"):
        curriculum.katas()
    curriculum.CURRICULUM.unlink()
    forget()
    with pytest.raises(NoCurriculum, match="pip install -e"):
        curriculum.katas()


def test_a_kata_in_no_list_has_no_prerequisites(listed):
    assert curriculum.prerequisites(Kata("text/none", "None", "", 1)) == ()


@pytest.mark.parametrize("kata", curriculum.katas(), ids=lambda kata: kata.address)
def test_the_minutes_are_what_the_formula_gives(kata):
    assert kata.minutes == estimate.minutes(kata)


def test_the_short_route_is_short():
    route = [kata for kata in curriculum.katas() if kata.route]
    assert 10 <= len(route) <= 14
    assert sum(kata.minutes for kata in route) < 8 * 60
