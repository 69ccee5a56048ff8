"""Messages as they come in other ways: a part of one, in capitals, in small letters."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from dojo.datasets.messages import Message

VARIATIONS = 2  # of each message


def with_variations(messages: Sequence[Message], seed: int) -> list[Message]:
    """The messages, and some variations of each.

    A message that begins with words of its own is learned by heart. One that has lost sentences has to be
    recognized by those that are left, as a short message has to be.
    """
    draw = random.Random(seed)
    varied = [replace(one, text=_varied(one.text, draw)) for _ in range(VARIATIONS) for one in messages]
    return [*messages, *varied]


def _varied(text: str, draw: random.Random) -> str:
    sentences = re.split(r"(?<=[.!?]) ", text)
    first = draw.randrange(len(sentences))
    last = draw.randrange(first, len(sentences))
    part = " ".join(sentences[first : last + 1])
    case = draw.random()
    return part.upper() if case < 0.15 else part.lower() if case < 0.3 else part
