"""Pages, docstrings and messages use the usual word, so that no sentence has to be decoded."""

import ast
import re
from pathlib import Path

import pytest

from dojo import ROOT

# What is found, what to say instead, and a sentence in which it is found. A space stands for any white space.
WORDS = [
    (r"\bmend(s|ed|ing)?\b", "fix", "the command that mends it"),
    (r"\bh(ang|angs|anging|ung) (\w+ )?on\b(?! (to|Linux|macOS|Windows)\b)", "depend on", "it hangs mostly on x"),
    (r"\bto the same bits?\b", "bit for bit", "it goes on to the\nsame bits"),
    (r"\b(tells?|telling|told) (more |much )?of\b", "show, describe", "the page tells of masks"),
    (r"\b(is|are|was|were) asked(?=[.;:])", "is called, is needed", "No network is asked."),
    (r"\bbehind (a|all|an|each|every|its|the)\b", "after", "the norm behind each block"),
    (r"\bheld against\b", "compared with", "times are held against PyTorch's"),
    (r"[,;] save that\b", "except that", "the same, save that nan differs"),
    (r"\breckon(s|ed|ing)?\b", "expect, count", "reckon with minutes"),
    (r"\bin vain\b", "for nothing", "it takes one batch in vain"),
    (r"\bto the letter\b", "exactly", "kept to the letter"),
    (r"\bwhat is no\b", "what is not a", "What is no tensor is refused"),
    (
        r"(?<!there\s)\b(is|was) no (text|kata|report|folder|copy|clone|sandbox|number|object|JSON|index)\b",
        "is not a",
        "Padding is no text",
    ),
    (r"\b(stands?|stood) in the way\b", "prevents", "what stands in the way of it"),
    (r"\bbegin(s|ning)? anew\b", "start again", "or begin anew"),
    (r"\btold so\b", "say so", "this proves nothing, and is told so"),
    (r"\bhears? of\b", "is told about", "every token hears of the change"),
    (
        r"\b(file|line|function|anything|nothing) of the learner's\b(?! own)",
        "the learner's file",
        "a file of the learner's",
    ),
    (r"\bwhat came of\b", "the result of", "tell what came of it"),
    (r"\bbefalls?\b", "happens to", "what befalls a learner"),
    (r"\bof NVIDIA's\b", "on CUDA", "on a GPU of NVIDIA's"),
    (r"\bbring(s|ing)? the bodies\b", "copy the code", "bring the bodies of another copy"),
    (r"\b(in|on) the mean\b(?! (of|loss|square)\b)", "on average", "off by 2 % on the mean"),
    (r"\bone's own\b", "your own, each learner's own", "a text that one's own model writes"),
    (r"\ban own\b", "of its own, the learner's", "an own piece that takes long"),
    (r"\bhangs? together\b", "fit together", "how the katas hang together"),
    (r"\blies? inside\b", "is in, comes with", "the text that lies inside every Python"),
    (r"(?<!soon\s)\bas (it|they) (stands?|stood)\b", "as it is, unchanged", "the text as it stands"),
    (r"\bwherever (it|they) (stands?|stood)\b", "wherever it occurs", "a word wherever it stands"),
]
HARMLESS = [
    "What a run is asked to do.",
    "A save that fails leaves the file as it was.",
    "No process is left behind. The questions behind it are old.",
    "The process hangs on Windows. Hang on to the old file.",
    "Amend the commit, recommend a change.",
    "The reference stands in for it, and two axes may stand before the last.",
]
PATTERNS = [(re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE), say) for pattern, say, _ in WORDS]

# Of a page, what is code, a link or a tag; and numbers from 1000 on that are neither years nor written like 10 000.
NO_PROSE = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)]*\)|<[^>]*>", re.DOTALL)
CRAMPED = re.compile(r"(?<![\w.,])(?!(?:1[6-9]|20)\d\d\b)\d{1,3}(?:,?\d{3})+\b")

Text = tuple[int, int, str]  # its first line, its last line, what it says


def pages() -> list[Path]:
    docs = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts]
    return [*docs, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md"))]


def sources() -> list[Path]:
    folders = ("dojo", "solutions", "tests")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if path != Path(__file__)]


def texts(path: Path) -> list[Text]:
    """A page whole; of a source its docstrings and its other strings."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return [(1, content.count("\n") + 1, content)]
    constants = [node for node in ast.walk(ast.parse(content)) if isinstance(node, ast.Constant)]
    return [(one.lineno, one.end_lineno or one.lineno, one.value) for one in constants if isinstance(one.value, str)]


def found(first: int, last: int, text: str) -> list[tuple[int, str, str]]:
    """The line, the words and what to say instead, for each place in a text."""
    return [
        (min(first + text.count("\n", 0, match.start()), last), " ".join(match[0].split()), say)
        for pattern, say in PATTERNS
        for match in pattern.finditer(text)
    ]


def test_the_usual_word_is_used():
    places = [
        f"{path.relative_to(ROOT).as_posix()}:{line}: {words!r}, say instead: {say}"
        for path in [*pages(), *sources()]
        for line, words, say in sorted({one for text in texts(path) for one in found(*text)})
    ]
    assert not places, "\n".join([f"{len(places)} places:", *places])


@pytest.mark.parametrize(("pattern", "say", "sentence"), WORDS, ids=[say for _, say, _ in WORDS])
def test_a_word_is_found(pattern, say, sentence):
    assert [one for _, _, one in found(1, 9, sentence)] == [say], pattern


@pytest.mark.parametrize("sentence", HARMLESS)
def test_other_uses_are_not_found(sentence):
    assert found(1, 9, sentence) == []


def test_a_number_is_written_with_spaces_on_pages():
    for path in pages():
        prose = NO_PROSE.sub(" ", path.read_text(encoding="utf-8"))
        assert CRAMPED.findall(prose) == [], path


def test_a_number_is_written_with_spaces_on_screens_and_figures():
    """By dojo.system.terminal.number, the one place that knows how."""
    sources = [*(ROOT / "dojo").rglob("*.py"), *(ROOT / "docs" / "figures").rglob("*.py")]
    commas = {path.name for path in sources if re.search(r":,[.}]", path.read_text(encoding="utf-8"))}
    assert commas == {"terminal.py"}


@pytest.mark.parametrize("number", ["1000", "10,000", "50257", "1,234,567"])
def test_a_cramped_number_is_found(number):
    assert CRAMPED.search(f"It has {number} of them.")[0] == number


@pytest.mark.parametrize("text", ["10 000", "in 2019", "999", "0.044715", "1 234 567", "float16", "3.14159, 2"])
def test_other_numbers_are_not_cramped(text):
    assert not CRAMPED.search(text)
