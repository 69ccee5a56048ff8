"""One process or several that train the same model, each on its share of every batch, as torchrun starts them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn

from dojo.errors import DojoError


@dataclass(frozen=True)
class Team:
    """The processes of a run: this one's number, and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def share(self, value: Any) -> Any:
        """What the leader has, for everyone."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def mean(self, *numbers: float) -> list[float]:
        """The mean of each number over all processes."""
        if self.size == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64)
        if distributed.get_backend() == "nccl":
            sums = sums.cuda()
        distributed.all_reduce(sums)
        return [number / self.size for number in sums.tolist()]

    def together(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model, with gradients that are the mean over all processes."""
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def leave(self) -> None:
        if self.size > 1:
            distributed.destroy_process_group()


def assemble(device: str) -> Team:
    """The team that torchrun has started, or a team of one. Raises DojoError where torch cannot form it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Team()
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if not distributed.is_available() or not getattr(distributed, f"is_{backend}_available")():
        raise DojoError(f"this torch has no {backend}, which {size} processes need to speak to each other.")
    own_device(device)  # nccl speaks through the device of each process
    distributed.init_process_group(backend)
    return Team(distributed.get_rank(), size)


def own_device(device: str) -> torch.device:
    """The device of this process: on a machine with several GPUs each process has its own."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(device)


class Share:
    """Every batch of a loader, cut down to the rows of one process and on its device: all have equally many rows.

    All of them go through the same batches, in the same order, so that together they do the steps of one process. They
    are moved to the device here because only a further clause of the loss does so.
    """

    def __init__(self, loader: Any, team: Team, device: torch.device) -> None:
        self.loader, self.team, self.device = loader, team, device
        self.generator, self.sampler = loader.generator, loader.sampler  # training asks for these

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rows = slice(self.team.rank, None, self.team.size)
        for inputs, targets in self.loader:
            yield inputs[rows].to(self.device), targets[rows].to(self.device)

    def __len__(self) -> int:
        return len(self.loader)


class Autocast(nn.Module):
    """A model that computes in bfloat16 where that is safe, with parameters and logits in float32."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.model, self.device_type = model, device.type

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device_type, torch.bfloat16):
            logits: torch.Tensor = self.model(token_ids)
        return logits.float()
