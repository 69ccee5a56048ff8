"""What was seen, as one page of HTML that needs nothing else: no network, no script to be read without."""

import base64
import html
import io
import json
from collections.abc import Sequence
from importlib import resources
from string import Template

import numpy as np

from dojo.look.seeing import Guess, Seen


def page(seen: Seen, model: str) -> str:
    """The page, complete."""
    files = resources.files("dojo.look")
    template = Template(files.joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        style=files.joinpath("page.css").read_text(encoding="utf-8"),
        script=files.joinpath("page.js").read_text(encoding="utf-8"),
        model=html.escape(model),
        tokens="".join(f"<span class=token>{shown(token)}</span>" for token in seen.tokens),
        guess=bars(seen.guess),
        lens=lens(seen),
        attention=attention(seen),
        without=without(seen),
        labels=html.escape(json.dumps([shown(token) for token in seen.tokens]), quote=True),
    )


def shown(token: str) -> str:
    """A token with its white space made visible."""
    visible = token.replace(" ", "\u00b7").replace("\n", "\u21b5").replace("\t", "\u21e5")
    return html.escape(visible) or "\u2205"


def percent(probability: float) -> str:
    return f"{100 * probability:.0f}%" if probability >= 0.1 else f"{100 * probability:.1f}%"


def bars(guess: Guess) -> str:
    """The likeliest tokens, each with a bar as long as it is likely."""
    rows = (
        f"<tr><td class=token>{shown(token)}<td class=number>{percent(likely)}"
        f'<td class=bar><div style="width:{100 * likely:.1f}%"></div>'
        for token, likely in zip(guess.tokens, guess.probabilities, strict=True)
    )
    return f"<table class=bars>{''.join(rows)}</table>"


def lens(seen: Seen) -> str:
    """What the model would say after each token, if it ended after the embedding or after each block."""
    rows = []
    for layer in reversed(range(len(seen.lens))):
        name = f"block {layer}" if layer else "embedding"
        cells = "".join(
            f'<td style="--share:{guess.probabilities[0]:.3f}" title="{alternatives(guess)}">{shown(guess.tokens[0])}'
            for guess in seen.lens[layer]
        )
        rows.append(f"<tr><th>{name}{cells}")
    read = "".join(f"<th class=read>{shown(token)}" for token in seen.tokens)
    return f"<table class=lens>{''.join(rows)}<tr><th>read{read}</table>"


def alternatives(guess: Guess) -> str:
    pairs = zip(guess.tokens, guess.probabilities, strict=True)
    return html.escape(", ".join(f"{shown(token)} {percent(likely)}" for token, likely in pairs), quote=True)


def attention(seen: Seen) -> str:
    """A picture for each head, block by block: rows look at columns."""
    rows = []
    for number, heads in enumerate(seen.attention, start=1):
        pictures = "".join(
            f'<button class=map data-name="block {number}, head {head}" data-values="{encoded(weights)}">'
            f'<img alt="block {number}, head {head}" src="{picture(weights)}"><span>head {head}</span></button>'
            for head, weights in enumerate(heads, start=1)
        )
        rows.append(f"<div class=block><h3>block {number}</h3>{pictures}</div>")
    return "".join(rows)


def picture(weights: Sequence[Sequence[float]]) -> str:
    """A matrix of shares as a small PNG, the darker the greater."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, np.array(weights), cmap="Blues", vmin=0, vmax=1, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def encoded(weights: Sequence[Sequence[float]]) -> str:
    """The numbers of a matrix in hundredths, a byte each, for the script that shows one large."""
    return base64.b64encode((np.array(weights) * 100).round().astype(np.uint8).tobytes()).decode()


def without(seen: Seen) -> str:
    """How likely the likeliest token still is, with each head switched off."""
    likely = seen.guess.probabilities[0]
    rows = []
    for number, (guesses, kept) in enumerate(zip(seen.without, seen.kept, strict=True), start=1):
        pairs = zip(guesses, kept, strict=True)
        cells = "".join(cell(guess, left, likely, seen.guess.tokens[0]) for guess, left in pairs)
        rows.append(f"<tr><th>block {number}{cells}")
    heads = "".join(f"<th>head {head}" for head in range(1, len(seen.kept[0]) + 1))
    return f"<table class=without><tr><th>{heads}{''.join(rows)}</table>"


def cell(guess: Guess, left: float, likely: float, best: str) -> str:
    """One head: the points that the best token loses or gains without it, and the token that is best then."""
    points = 100 * (left - likely)
    side = "loses" if points < 0 else "gains"
    other = f"<br><span class=token>{shown(guess.tokens[0])}</span>" if guess.tokens[0] != best else ""
    return (
        f'<td class={side} style="--share:{min(abs(points) / max(100 * likely, 1e-9), 1):.3f}" '
        f'title="{alternatives(guess)}">{points:+.1f}{other}'
    )
