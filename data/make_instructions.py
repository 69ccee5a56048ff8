"""Compose data/instructions.json: small tasks whose answers a program can check.

    python data/make_instructions.py

Every task has a few ways to be told; `{}` is where the matter of it goes, and a way without one has it as its input.
The result is the same bytes on every Python: nothing is drawn but by `random()` of a seeded generator.
"""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

SEED = 7
OF_A_TASK = 16  # entries

NUMBERS = [str(number) for number in range(2, 60)]
WORDS = [
    "anchor", "apple", "basket", "bell", "bridge", "candle", "carpet", "castle", "cloud", "corner", "dragon",
    "engine", "feather", "finger", "forest", "garden", "hammer", "harbour", "island", "jacket", "kettle", "ladder",
    "lantern", "lemon", "letter", "market", "mirror", "mountain", "needle", "ocean", "orange", "pencil", "pepper",
    "pillow", "planet", "pocket", "rabbit", "ribbon", "river", "rocket", "saddle", "salt", "shadow", "silver",
    "spoon", "stone", "summer", "table", "thunder", "ticket", "tiger", "tower", "tunnel", "village",
    "violin", "wagon", "water", "window", "winter", "wool",
]  # fmt: skip
PALINDROMES = ["level", "noon", "radar", "kayak", "civic", "refer", "madam", "rotor", "deed", "peep", "stats", "solos"]
SENTENCES = {  # and a noun in each, to be replaced
    "the kettle sings in the kitchen": "kettle",
    "a red boat left the harbour": "boat",
    "we saw two owls on the roof": "roof",
    "my brother paints old chairs": "brother",
    "rain fell on the market": "market",
    "she reads the letter twice": "letter",
    "nobody heard the small bell": "bell",
    "the baker closes at six": "baker",
    "our dog sleeps under the stove": "stove",
    "he forgot his hat on the train": "train",
    "the moon is bright": "moon",
    "they sold the whole cake before noon": "cake",
    "snow covered the road to the farm": "farm",
    "I see the sea": "sea",
    "the clerk counts coins": "clerk",
    "every morning the ferry brings the post": "ferry",
}
PLURALS = {
    "cat": "cats", "bus": "buses", "box": "boxes", "city": "cities", "dish": "dishes", "boy": "boys",
    "church": "churches",
    "lamp": "lamps", "glass": "glasses", "story": "stories", "key": "keys", "fox": "foxes", "brush": "brushes",
    "baby": "babies", "bench": "benches", "road": "roads", "berry": "berries", "class": "classes", "day": "days",
    "spoon": "spoons",
}  # fmt: skip
OPPOSITES = [
    ("hot", "cold"), ("big", "small"), ("open", "closed"), ("early", "late"), ("full", "empty"), ("high", "low"),
    ("wet", "dry"), ("old", "young"), ("fast", "slow"), ("strong", "weak"), ("near", "far"), ("rich", "poor"),
    ("loud", "quiet"), ("thick", "thin"), ("heavy", "light"), ("left", "right"), ("first", "last"), ("up", "down"),
]  # fmt: skip
PAST = {
    "walk": "walked", "play": "played", "carry": "carried", "bake": "baked", "jump": "jumped", "cry": "cried",
    "smile": "smiled", "open": "opened", "dance": "danced", "study": "studied", "wash": "washed", "close": "closed",
    "help": "helped", "hurry": "hurried", "paint": "painted", "move": "moved", "try": "tried", "listen": "listened",
}  # fmt: skip
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class Draw:
    """Chance that is the same on every Python."""

    def __init__(self, seed: int):
        self._random = Random(seed).random

    def one_of(self, options: list[str]) -> str:
        return options[int(self._random() * len(options))]

    def some_of(self, options: list[str], count: int) -> list[str]:
        """Different ones."""
        some: list[str] = []
        while len(some) < count:
            if (one := self.one_of(options)) not in some:
                some.append(one)
        return some

    def shuffled(self, items: list[str]) -> list[str]:
        return [item for _, item in sorted((self._random(), item) for item in items)]


def in_words(number: int) -> str:
    """From 0 to 99."""
    if number < 20:
        return ONES[number]
    return TENS[number // 10 - 2] + (f"-{ONES[number % 10]}" if number % 10 else "")


def word(draw: Draw) -> str:
    return draw.one_of(WORDS)


def sentence(draw: Draw) -> str:
    return draw.one_of(list(SENTENCES))


def some_words(draw: Draw) -> str:
    """That begin with different letters."""
    some = draw.some_of(WORDS, 3)
    while len({one[0] for one in some}) < 3:
        some = draw.some_of(WORDS, 3)
    return ", ".join(some)


def some_numbers(draw: Draw) -> str:
    return ", ".join(draw.some_of(NUMBERS, 4))


def two_numbers(draw: Draw) -> str:
    return " and ".join(draw.some_of(NUMBERS, 2))


def falling_numbers(draw: Draw) -> str:
    return " and ".join(sorted(draw.some_of(NUMBERS, 2), key=int))


def maybe_palindrome(draw: Draw) -> str:
    return draw.one_of([draw.one_of(PALINDROMES), draw.one_of(WORDS)])


def replacing(draw: Draw) -> str:
    text = sentence(draw)
    return f"{SENTENCES[text]}|{draw.one_of([one for one in WORDS if one not in text])}|{text}"


def replaced(matter: str) -> str:
    old, new, text = matter.split("|")
    return " ".join(new if one == old else one for one in text.split())


def numbers_of(matter: str) -> list[int]:
    return [int(number) for number in matter.replace(" and ", ", ").split(", ")]


def opposite(matter: str) -> str:
    return {**dict(OPPOSITES), **{other: one for one, other in OPPOSITES}}[matter]


def one_of(options: list[str]) -> Callable[[Draw], str]:
    return lambda draw: draw.one_of(options)


# Of every task: the ways to tell it, what it is about, and the answer.
TASKS: list[tuple[list[str], Callable[[Draw], str], Callable[[str], str]]] = [
    (
        ["Reverse the word '{}'.", "Write this word backwards.", "Spell '{}' from its end to its beginning."],
        word,
        lambda matter: matter[::-1],
    ),
    (
        ["Write '{}' in capital letters.", "Turn this into capital letters.", "Make all letters of this text large."],
        lambda draw: draw.one_of([word(draw), sentence(draw)]),
        str.upper,
    ),
    (
        ["How many letters has the word '{}'?", "Count the letters of this word.", "Count the letters in '{}'."],
        word,
        lambda matter: str(len(matter)),
    ),
    (
        ["How many vowels are in '{}'?", "Count the vowels of this word.", "Count the vowels in the word '{}'."],
        word,
        lambda matter: str(sum(letter in "aeiou" for letter in matter)),
    ),
    (
        ["How many words are in this sentence?", "Count the words.", "How many words are in '{}'?"],
        sentence,
        lambda matter: str(len(matter.split())),
    ),
    (
        ["What is the first letter of '{}'?", "Give the first letter of this word.", "Which letter begins '{}'?"],
        word,
        lambda matter: matter[0],
    ),
    (
        ["What is the last letter of '{}'?", "Give the last letter of this word.", "Which letter ends '{}'?"],
        word,
        lambda matter: matter[-1],
    ),
    (
        ["Sort these words by the alphabet.", "Put the words in alphabetical order.", "Sort by the alphabet: {}"],
        some_words,
        lambda matter: ", ".join(sorted(matter.split(", "))),
    ),
    (
        ["Sort these numbers, smallest first.", "Put the numbers in rising order.", "Sort from small to large: {}"],
        some_numbers,
        lambda matter: ", ".join(map(str, sorted(numbers_of(matter)))),
    ),
    (
        ["Add {}.", "What is the sum of {}?", "Add these two numbers."],
        two_numbers,
        lambda matter: str(sum(numbers_of(matter))),
    ),
    (
        ["What is the difference of {}?", "Take the smaller number from the larger one.", "How far apart are {}?"],
        falling_numbers,
        lambda matter: str(numbers_of(matter)[1] - numbers_of(matter)[0]),
    ),
    (
        ["Of {}, which is larger?", "Name the larger number.", "Give the larger one of {}."],
        two_numbers,
        lambda matter: str(max(numbers_of(matter))),
    ),
    (
        ["Of {}, which is smaller?", "Name the smaller number.", "Give the smaller one of {}."],
        two_numbers,
        lambda matter: str(min(numbers_of(matter))),
    ),
    (
        ["What is the plural of '{}'?", "Give the plural of this noun.", "One {}, two what?"],
        one_of(list(PLURALS)),
        PLURALS.__getitem__,
    ),
    (
        ["What is the opposite of '{}'?", "Give the opposite of this word.", "Name the opposite of '{}'."],
        lambda draw: draw.one_of([word for pair in OPPOSITES for word in pair]),
        opposite,
    ),
    (
        ["What is the past tense of '{}'?", "Put this verb into the past.", "Today I {}. Yesterday I did what?"],
        one_of(list(PAST)),
        PAST.__getitem__,
    ),
    (
        ["Which place has '{}' in the alphabet?", "Give this letter's number in the alphabet."],
        one_of(list(ALPHABET)),
        lambda matter: str(ALPHABET.index(matter) + 1),
    ),
    (
        ["Which day comes after {}?", "Name the day after this one.", "Today is {}. Which day is tomorrow?"],
        one_of(DAYS),
        lambda matter: DAYS[(DAYS.index(matter) + 1) % len(DAYS)],
    ),
    (
        ["Which month comes before {}?", "Name the month before this one.", "It is {}. Which month came before?"],
        one_of(MONTHS),
        lambda matter: MONTHS[MONTHS.index(matter) - 1],
    ),
    (
        ["Write the number {} as a word.", "Spell this number out.", "How is {} written in letters?"],
        one_of([str(number) for number in range(100)]),
        lambda matter: in_words(int(matter)),
    ),
    (
        ["Replace '{}' by '{}'.", "Write the sentence with '{1}' in place of '{0}'."],
        replacing,
        replaced,
    ),
    (
        ["Join these words with hyphens.", "Join the words with a hyphen: {}"],
        some_words,
        lambda matter: matter.replace(", ", "-"),
    ),
    (
        ["Split this word into letters, with spaces.", "Write '{}' with a space after every letter but the last."],
        word,
        " ".join,
    ),
    (
        ["Is '{}' a palindrome?", "Does this word read the same backwards?", "Is this word a palindrome?"],
        maybe_palindrome,
        lambda matter: "yes" if matter == matter[::-1] else "no",
    ),
]  # fmt: skip


def entry(way: str, matter: str, answer: str) -> dict[str, str]:
    """What goes into the instruction is left out of the input."""
    told, _, rest = matter.rpartition("|")
    if told:
        return {"instruction": way.format(*told.split("|")), "input": rest, "output": answer}
    return {"instruction": way.format(matter), "input": "" if "{" in way else matter, "output": answer}


def entries() -> list[dict[str, str]]:
    """Every instruction with its input once, shuffled."""
    draw = Draw(SEED)
    found: list[str] = []
    for ways, about, answer in TASKS:
        of_the_task: list[str] = []
        while len(of_the_task) < OF_A_TASK:
            matter = about(draw)
            one = json.dumps(entry(ways[len(of_the_task) % len(ways)], matter, answer(matter)))
            if one not in of_the_task:
                of_the_task.append(one)
        found += of_the_task
    return [json.loads(one) for one in draw.shuffled(found)]


def text() -> str:
    """The file."""
    return json.dumps(entries(), indent=2) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("instructions.json").write_text(text(), encoding="utf-8", newline="\n")
