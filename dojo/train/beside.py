"""The other model beside a run: one that learned the same tokens, at the same sizes."""

from typing import Any

import numpy as np

from dojo.errors import DojoError
from dojo.train import tokens
from dojo.train.ingredients import GPT2, MODERN
from dojo.train.runs import TRAIN, Run, all_of

MAY_DIFFER = {"model", "drop_rate"}  # the modern model has no dropout


def other_model(run: Run, about: dict[str, Any], perplexity: float) -> str:
    """Both perplexities in a sentence, or for a modern run how to have the other; else empty."""
    mine = about["settings"].get("model", GPT2)
    other = GPT2 if mine == MODERN else MODERN
    if twin := _twin(run, about, other):
        name, theirs = twin
        both = {mine: (run.name, perplexity, about), other: (name, theirs["result"]["perplexity"], theirs)}
        told = "; ".join(f"{model} {both[model][1]:.1f} ({both[model][0]})" for model in (MODERN, GPT2))
        dropout = both[GPT2][2]["settings"]["drop_rate"]
        note = f". gpt2 had a dropout of {dropout:g}, and modern has none" if dropout else ""
        return f"perplexity on the same held-out tokens, with the same sizes: {told}{note}"
    if mine == MODERN:
        return "To compare: the same command with `--model gpt2`, which shows both perplexities at its end."
    return ""


def _twin(run: Run, about: dict[str, Any], model: str) -> tuple[str, dict[str, Any]] | None:
    """The last finished run of another model on the same tokens, and what it is about."""
    for one in all_of(TRAIN):
        try:
            theirs = one.about()
            finished = isinstance(theirs.get("result", {}).get("perplexity"), float)
            same = (
                one != run
                and finished
                and theirs["settings"].get("model", GPT2) == model
                and _sizes(theirs) == _sizes(about)
            )
            if same and _tokens(one, theirs) == _tokens(run, about):
                return one.name, theirs
        except (DojoError, AttributeError):  # a damaged run is for its own command to tell
            continue
    return None


def _sizes(about: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in about["settings"].items() if name not in MAY_DIFFER}


def _tokens(run: Run, about: dict[str, Any]) -> bytes:
    _, held_out = tokens.read(run, about["config"]["vocab_size"])
    return np.asarray(held_out).tobytes()
