"""A pytest plugin for `python -m dojo.check cuda`: what a test creates is on the device named in KATA_DEVICE."""

import os

import pytest
import torch

from dojo.check import hypothesis_standin

DEVICE = "KATA_DEVICE"
# What cannot be tested on CUDA, by kata and clause.
LEFT_OUT = {
    ("model", "range"): "after an index out of range a process cannot use CUDA any more",
    ("generate", "device"): "it is about ids on the CPU",
}


def pytest_configure(config: pytest.Config) -> None:
    hypothesis_standin.stand_in()
    torch.set_default_device(os.environ.get(DEVICE, "cpu"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(DEVICE, "cpu").startswith("cuda"):
        for item in items:
            mark = item.get_closest_marker("clause")
            why = LEFT_OUT.get((item.path.stem.removeprefix("test_"), mark.args[0])) if mark else None
            if why:
                item.add_marker(pytest.mark.skip(reason=why))
