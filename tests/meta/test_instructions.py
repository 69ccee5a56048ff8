"""The instructions of data/instructions.json are as their card says, their answers right, and readers as promised."""

import json
import re
import runpy
import subprocess
import sys
from collections import Counter

import pytest

from dojo import ROOT
from dojo.datasets.instructions import is_answer, read_instructions

FILE = ROOT / "data" / "instructions.json"
CARD = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
OURS = read_instructions(FILE)

WEEK = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Monday".split()  # noqa: SIM905
YEAR = "December January February March April May June July August September October November December".split()  # noqa: SIM905
OPPOSITES = """hot-cold big-small open-closed early-late full-empty high-low wet-dry old-young fast-slow strong-weak
near-far rich-poor loud-quiet thick-thin heavy-light left-right first-last up-down""".split()  # noqa: SIM905


def numbers(text):
    return [int(number) for number in re.findall(r"\d+", text)]


def plural(noun):
    noun = re.sub(r"(?<![aeiou])y$", "ie", noun)
    return noun + ("es" if re.search(r"(s|x|ch|sh)$", noun) else "s")


def past(verb):
    verb = re.sub(r"(?<![aeiou])y$", "i", verb)
    return verb + ("d" if verb.endswith("e") else "ed")


def opposite(word):
    (pair,) = (pair.split("-") for pair in OPPOSITES if word in pair.split("-"))
    return pair[1 - pair.index(word)]


def spelled(number):
    ones = ["", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    teens = "ten eleven twelve thir four fif six seven eigh nine".split()  # noqa: SIM905
    tens = "twen thir for fif six seven eigh nine".split()  # noqa: SIM905
    if number == 0:
        return "zero"
    if number < 10:
        return ones[number]
    if number < 20:
        return teens[number - 10] + ("teen" if number > 12 else "")
    return f"{tens[number // 10 - 2]}ty-{ones[number % 10]}".removesuffix("-")


# What a task's instructions match, and the answer to what they are about. The matter is what the instruction has
# between quotes or behind a colon, or else its input, or else the group of the pattern.
CHECKS = [
    (r"Reverse|backwards\.|from its end", lambda word: "".join(reversed(word))),
    (r"capital|letters of this text large", lambda text: "".join(chr(ord(c) - 32) if c.islower() else c for c in text)),
    (r"How many letters|Count the letters", lambda word: str(len(re.findall("[a-z]", word)))),
    (r"vowels", lambda word: str(len(re.findall("[aeiou]", word)))),
    (r"How many words|Count the words", lambda text: str(text.count(" ") + 1)),
    (r"first letter|Which letter begins", lambda word: word[:1]),
    (r"last letter|Which letter ends", lambda word: word[::-1][:1]),
    (r"alphabetical order|by the alphabet", lambda text: ", ".join(sorted(re.findall("[a-z]+", text)))),
    (
        r"smallest first|rising order|Sort from small",
        lambda text: ", ".join(str(n) for n in range(100) if n in numbers(text)),
    ),
    (r"Add (these two)?|sum of", lambda text: str(numbers(text)[0] + numbers(text)[1])),
    (r"difference|Take the smaller|How far apart", lambda text: str(abs(numbers(text)[0] - numbers(text)[1]))),
    (r"is larger|the larger (number|one of)", lambda text: str(sorted(numbers(text))[-1])),
    (r"is smaller|(Name|Give) the smaller (number|one of)", lambda text: str(sorted(numbers(text))[0])),
    (r"plural|One (?P<matter>[a-z]+), two what", plural),
    (r"opposite", opposite),
    (r"past|Today I (?P<matter>[a-z]+)\.", past),
    (r"in the alphabet", lambda letter: str(ord(letter) - 96)),
    (r"day comes after (?P<matter>\w+)|day after|Today is (?P<other>\w+)\.", lambda day: WEEK[WEEK.index(day) + 1]),
    (
        r"month comes before (?P<matter>\w+)|month before|It is (?P<other>\w+)\.",
        lambda month: YEAR[YEAR.index(month, 1) - 1],
    ),
    (r"as a word|Spell this number|written in letters", lambda text: spelled(*numbers(text))),
    (r"Replace '|in place of", None),
    (r"hyphen", lambda text: "-".join(re.findall("[a-z]+", text))),
    (r"with spaces|space after every letter", lambda word: re.sub("(?<=.)(?=.)", " ", word)),
    (r"palindrome|read the same", lambda word: "yes" if [*word] == [*reversed(word)] else "no"),
]


def task_of(entry):
    """The one task that an instruction is of."""
    (found,) = (at for at, (pattern, _) in enumerate(CHECKS) if re.search(pattern, entry["instruction"]))
    return found


def answer_of(entry):
    """The answer, worked out from what a reader sees."""
    pattern, check = CHECKS[task_of(entry)]
    quoted = re.findall("'(.+?)'", entry["instruction"])
    if check is None:
        old, new = quoted if entry["instruction"].startswith("Replace") else quoted[::-1]
        return re.sub(rf"\b{old}\b", new, entry["input"])
    match = re.search(pattern, entry["instruction"])
    groups = [group for group in match.groupdict().values() if group]
    behind = re.findall(": (.+)", entry["instruction"])
    return check((groups or quoted or behind or [entry["input"] or entry["instruction"]])[0])


def test_the_script_gives_the_file():
    assert runpy.run_path(str(ROOT / "data" / "make_instructions.py"))["text"]().encode() == FILE.read_bytes()


def test_the_file_is_plain_english_in_json():
    content = FILE.read_bytes()
    assert content.isascii()
    assert b"\r" not in content
    assert json.dumps(json.loads(content), indent=2).encode() + b"\n" == content
    assert all(list(entry) == ["instruction", "input", "output"] for entry in json.loads(content))
    assert f"{len(OURS)} instructions with answers" in CARD
    assert f"{len(content):,} bytes".replace(",", " ") in CARD


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: f"{entry['instruction']} {entry['input']}".strip())
def test_an_answer_is_right(entry):
    assert entry["output"] == answer_of(entry)


def test_tasks_are_balanced_and_told_in_several_ways():
    by_task = Counter(task_of(entry) for entry in OURS)
    assert by_task == dict.fromkeys(range(24), 16)
    ways = {
        (
            task_of(entry),
            re.sub(r"'.+?'|: .+|\d+( and \d+)?|(One|Today I|after|is|before) \w+", "_", entry["instruction"]),
        )
        for entry in OURS
    }
    assert min(Counter(task for task, _ in ways).values()) >= 2


def test_the_card_tells_the_balance():
    empty = sum(not entry["input"] for entry in OURS)
    most = Counter(entry["output"] for entry in OURS).most_common(1)[0][1] / len(OURS)
    assert f"{empty} of the {len(OURS)} inputs are empty" in CARD
    assert f"most frequent in the file is right for {100 * most:.1f} % of the entries" in CARD


def test_entries_are_short_and_all_different():
    assert len({(entry["instruction"], entry["input"]) for entry in OURS}) == len(OURS)
    assert max(len(entry["output"]) for entry in OURS) <= 40
    assert max(len(entry["instruction"]) + len(entry["input"]) for entry in OURS) <= 120


@pytest.mark.parametrize("answer", ["forty-two", " forty-two\n", "forty-two.", " forty-two . "])
def test_space_and_a_full_stop_do_not_count(answer):
    assert is_answer({"instruction": "a", "input": "", "output": "forty-two"}, answer)
    assert is_answer({"instruction": "a", "input": "", "output": "forty-two."}, answer)


@pytest.mark.parametrize("answer", ["", "forty two", "Forty-two", "forty-two..", ".forty-two", "it is forty-two"])
def test_all_else_counts(answer):
    assert not is_answer({"instruction": "a", "input": "", "output": "forty-two"}, answer)


def read(tmp_path, content):
    (tmp_path / "mine.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_instructions(tmp_path / "mine.json")


ONE = {"instruction": "Say hi.", "input": "", "output": "hi, Zoë\n\u2028"}
TWO = {"instruction": "Double.", "input": "4", "output": "8"}


@pytest.mark.parametrize("indent", [None, 4])
def test_a_list_is_read_and_other_fields_left_out(tmp_path, indent):
    content = json.dumps([{"id": 7, **ONE}, {**TWO, "text": "all of it"}], indent=indent)
    assert read(tmp_path, content) == [ONE, TWO]
    assert read(tmp_path, "\ufeff \n" + content) == [ONE, TWO]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_json_lines_are_read(tmp_path, end):
    lines = [json.dumps(entry, ensure_ascii=False) for entry in (ONE, TWO)]
    assert read(tmp_path, end.join(lines)) == [ONE, TWO]
    assert read(tmp_path, "\ufeff" + end.join(lines) + end) == [ONE, TWO]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("[]", "has no entries"),
        ("3", "is neither a list of entries nor an object a line"),
        ('"{"', "is neither a list of entries nor an object a line"),
        (b'[\n"\xff"]', "line 2: byte 0xff is not UTF-8 (invalid start byte)"),
        ('[\n{"instruction": "a",}\n]', "line 2: this is not JSON, "),
        ("[\n\n", "line 3: this is not JSON, "),
        ("Say hi.", "line 1: this is not JSON, "),
        (json.dumps(ONE) + "\n\n" + json.dumps(TWO)[:-1], "line 3: this is not JSON, "),
        (json.dumps(ONE) + json.dumps(TWO), "line 1: this is not JSON, Extra data at column 74"),
        (json.dumps(ONE) + "\n[]", "entry 2 is not an object with the fields instruction, input, output"),
        (json.dumps([ONE, "hi"]), "entry 2 is not an object with the fields"),
        (json.dumps([{"input": "", "output": "a"}]), "entry 1 has no field 'instruction'"),
        (json.dumps([ONE, {"instruction": "a", "output": "b"}]), "entry 2 has no field 'input', which may be empty"),
        (json.dumps([ONE, TWO, {"instruction": "a", "input": ""}]), "entry 3 has no field 'output'"),
        (json.dumps([ONE, {**TWO, "output": 8}]), "entry 2: the field 'output' is 8, not a text"),
        (json.dumps([ONE, {**TWO, "input": None}]), "entry 2: the field 'input' is None, not a text"),
        (json.dumps([ONE, {**TWO, "instruction": " "}]), "entry 2: the field 'instruction' is empty"),
        ("\n" + json.dumps(ONE) + "\n\n" + json.dumps({**TWO, "output": ""}), "entry 2: the field 'output' is empty"),
    ],
)
def test_what_is_no_file_of_instructions_is_refused(tmp_path, content, said):
    with pytest.raises(ValueError, match=r"mine\.json.*" + re.escape(said)):
        read(tmp_path, content)


def test_a_file_that_cannot_be_read_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_instructions(tmp_path / "none.json")


def test_data_is_read_without_torch():
    code = "import sys, dojo.datasets.messages, dojo.datasets.instructions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
