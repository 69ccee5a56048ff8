"""What training depends on, the file that holds it, and how the file takes its place. The file is the reference's."""

import json
import tempfile
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors import safe_open
from torch import nn

from docs.figures.style import COOL, FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.pretraining.checkpoint import save_checkpoint

MODEL, OPTIMIZER, RANDOM = shade(0.35), shade(0.55, WARM), HIDDEN
LEFT, FILE, PLACE = 0.3, 4.0, 8.45
ROW = 0.36


def draw() -> Figure:
    tensors, content = written()
    figure, axes = panel(11.4, 4.5)

    title(axes, LEFT, "what training depends on", "and which parts of it are tensors")
    parts = [
        ("step 3", shade(0), ""),
        ("Python's random state", RANDOM, ""),
        ("learning rate 0.05", OPTIMIZER, ""),
        ("tok_emb.weight", MODEL, "model.tok_emb.weight"),
        ("out_head.weight, tied", MODEL, "model.tok_emb.weight"),
        ("momentum", OPTIMIZER, "optimizer.state.0.momentum_buffer"),
        ("torch's random state", RANDOM, "random.torch"),
        ("the generator's state", RANDOM, "random.generator"),
    ]
    header_top, tensors_top = 1.42, 2.56
    for number, (name, fill, tensor) in enumerate(parts):
        top = 1.0 + number * (ROW + 0.04)
        cell(axes, LEFT, top, name, fill, 2.2, ROW, fontsize=9)
        end = tensors_top + (list(tensors).index(tensor) + 0.5) * ROW if tensor else header_top + 0.5
        line(axes, LEFT + 2.25, top + ROW / 2, FILE - 0.05, end, solid=bool(tensor))

    title(axes, FILE, "one file", "safetensors: lengths, JSON, bytes")
    cell(axes, FILE, 1.0, "length of the header, 8 bytes", shade(0), 3.5, ROW, fontsize=9)
    cell(axes, FILE, header_top, "", shade(0), 3.5, 1.08)
    group = dict(dict(content["optimizer"]["state_dict"]["dict"])["param_groups"][0]["dict"])
    lines = ["header: names, dtypes, shapes, places", f'metadata: "step": {content["step"]}, "lr": {group["lr"]},']
    lines += ['"out_head.weight":', f'  "{content["model"]["out_head.weight"]}", ...']
    for number, text in enumerate(lines):
        axes.text(FILE + 0.12, header_top + 0.2 + number * 0.24, text, fontsize=8.5, va="center")
    for number, (name, shape) in enumerate(tensors.items()):
        fill = MODEL if name.startswith("model") else OPTIMIZER if name.startswith("opt") else RANDOM
        text = f"{name} {shape}" if name.startswith("model") else name
        cell(axes, FILE, tensors_top + number * ROW, text, fill, 3.5, ROW, fontsize=8.5)

    title(axes, PLACE, "in its place", "whole, or not at all")
    steps = [
        ("1  write beside it", "run.safetensors.part", "run.safetensors, the old one"),
        ("2  wait for the disk: fsync", "run.safetensors.part", "run.safetensors, the old one"),
        ("3  replace", "", "run.safetensors, the new one"),
    ]
    for number, (what, beside, there) in enumerate(steps):
        top = 1.0 + number * 1.16
        axes.text(PLACE, top + 0.14, what, fontsize=9, fontweight="bold")
        if beside:
            cell(axes, PLACE, top + 0.24, beside, shade(0.2 + 0.25 * number), 2.6, ROW, fontsize=8.5)
        cell(
            axes,
            PLACE,
            top + 0.24 + (ROW if beside else 0),
            there,
            HIDDEN if beside else shade(0.45),
            2.6,
            ROW,
            fontsize=8.5,
        )
    return figure


def written() -> tuple[dict[str, tuple[int, ...]], dict]:
    """The shapes of the tensors and the JSON in a checkpoint of a tied model after a step."""
    model = nn.ModuleDict({"tok_emb": nn.Embedding(5, 2), "out_head": nn.Linear(2, 5, bias=False)})
    model["out_head"].weight = model["tok_emb"].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    model["tok_emb"].weight.sum().backward()
    optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        save_checkpoint(path, model, optimizer, 3, torch.Generator())
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            return shapes, json.loads(file.metadata()["checkpoint"])


def title(axes: Axes, left: float, name: str, what: str) -> None:
    axes.text(left, 0.42, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.68, what, color=FAINT, fontsize=9)


def line(axes: Axes, x: float, y: float, to_x: float, to_y: float, solid: bool) -> None:
    """The way of a part into the file: solid to a tensor, dashed to the JSON."""
    style = {"arrowstyle": "->", "color": COOL if solid else FAINT, "lw": 1.2, "linestyle": "-" if solid else "--"}
    axes.annotate("", (to_x, to_y), (x, y), arrowprops=style)


if __name__ == "__main__":
    save(draw(), "pretraining/checkpoint")
