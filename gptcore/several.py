"""One run on several devices: every process computes its share of each batch, and all of them take the same step.

``torchrun`` starts the processes. All make the same model and meet the same batches in the same order; of each batch
every one takes its own windows. PyTorch's DistributedDataParallel averages the gradients while they are computed, so
that each process makes the very update that one alone would have made of the whole batch. The first process leads: it
alone evaluates, samples and writes, and says to the others when to stop.

How to read it: ``Alone`` names the few places where a run asks who else is there; ``Together`` answers for several;
``gathered`` tells which of the two it is. A mean over unequal shares is exact too: each share's loss is weighted by its
windows. Dropout is the one thing that differs: a process that is not the first, or trains on a graphics card, draws
numbers of its own, which follow from (seed, step, process), so that a run goes on from a checkpoint as ever.

What is left out: models that do not fit one device (FullyShardedDataParallel), and gradients summed over small batches.
Tested with processes on one processor ("gloo"); the way to several graphics cards ("nccl") is the same code, and has
not been run. Source: Li et al. 2020, "PyTorch Distributed".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gptcore.config import TrainConfig
from gptcore.device import CPU, called

LossOf = Callable[[Tensor, Tensor], Tensor]  # inputs and targets, (B, T) each, to their mean loss
PATIENCE = timedelta(hours=2)  # of the others while the first process evaluates


class Alone:
    """One process, to which every batch belongs whole.

    Args:
        device: Where it computes.

    Attributes:
        rank: Which process this is; 0 leads.
        size: How many there are.
        here: How many of them share this machine.
    """

    rank, size, here = 0, 1, 1

    def __init__(self, device: torch.device = CPU) -> None:
        self.device = device

    @property
    def leads(self) -> bool:
        """Whether this process evaluates and writes."""
        return self.rank == 0

    def check(self, config: TrainConfig) -> None:
        """Refuse settings that can't be followed here.

        Raises:
            ValueError: Why, in a sentence.
        """
        if config.sampled_vocab and self.device.type != "cpu":
            raise ValueError(f"sampled_vocab={config.sampled_vocab} saves time on a processor: leave it out on a card")

    def reseed(self, seed: int, step: int) -> None:
        """Draw dropout's numbers anew where the checkpoint's random state, the leader's on a processor, won't do."""
        if self.rank or self.device.type != "cpu":
            torch.manual_seed(((seed * 1_000_003 + step) * 1_009 + self.rank) % 2**63)

    def loss(self, model: nn.Module, loss_of: LossOf, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss to go backward from, of this process's share of a batch."""
        del model
        return loss_of(inputs, targets)

    def mean(self, loss: Tensor) -> Tensor:
        """The mean loss of the whole batch, from every process's ``loss``."""
        return loss

    def agree(self, stop: bool) -> bool:
        """Whether to stop, as the leader says: asked by all between two updates."""
        return stop

    def dismiss(self) -> None:
        """Let the others go, where the leader leaves its loop and they don't."""

    def wait(self) -> None:
        """Until all have come here."""


class _Loss(nn.Module):
    """A model and its loss in one pass: what DistributedDataParallel watches is the ``forward`` of a module."""

    def __init__(self, model: nn.Module, loss_of: LossOf) -> None:
        super().__init__()
        self.model = model  # so that its weights are found, a tied one once
        self.loss_of = loss_of

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss_of(inputs, targets)


class Together(Alone):
    """One of several processes; the process group is there already.

    Args:
        device: Where this process computes.
        here: How many processes share this machine.
    """

    def __init__(self, device: torch.device, here: int) -> None:
        super().__init__(device)
        self.rank, self.size, self.here = distributed.get_rank(), distributed.get_world_size(), here
        self._watched: DistributedDataParallel | None = None
        self._between_updates = True

    def check(self, config: TrainConfig) -> None:
        super().check(config)
        if config.batch_size < self.size:
            raise ValueError(
                f"batch_size={config.batch_size} gives {self.size} processes no window each: choose a batch of at "
                f"least {self.size}, or fewer processes"
            )
        if config.reference:
            raise ValueError("a reference run follows the book, which trains in one process: leave out torchrun")
        if config.sampled_vocab:
            raise ValueError("sampled_vocab draws for a whole batch: leave it out, or train in one process")

    def loss(self, model: nn.Module, loss_of: LossOf, inputs: Tensor, targets: Tensor) -> Tensor:
        if self._watched is None:  # it also hands the leader's weights to all
            self._watched = DistributedDataParallel(_Loss(model, loss_of), broadcast_buffers=False)
        self._between_updates = False
        share = torch.tensor_split(torch.arange(len(inputs)), self.size)[self.rank]
        loss: Tensor = self._watched(inputs[share], targets[share])
        return loss * (self.size * len(share) / len(inputs))  # the average over processes is then that over windows

    def mean(self, loss: Tensor) -> Tensor:
        mean = loss.detach() / self.size
        distributed.all_reduce(mean)
        self._between_updates = True
        return mean

    def agree(self, stop: bool) -> bool:
        said = torch.tensor([int(stop)], device=self.device)
        distributed.broadcast(said, src=0)
        self._between_updates = not said.item()
        return bool(said.item())

    def dismiss(self) -> None:
        if self._between_updates:  # or else an update has failed, and a word more would not be heard
            self.agree(stop=True)

    def wait(self) -> None:
        try:
            distributed.barrier()
        except RuntimeError as error:
            raise RuntimeError("the process that leads has ended, and has said why") from error


def said(team: Alone) -> str:
    """Who trains, and where.

    >>> said(Alone()).startswith("training on the processor (")
    True
    """
    place = called(team.device)
    return f"training on {place}" if team.size == 1 else f"training in {team.size} processes, this one on {place}"


@contextmanager
def gathered(device: torch.device) -> Iterator[Alone]:
    """The processes that ``torchrun`` has started, as this one sees them; this one alone where there are no others.

    Args:
        device: Where this process is to compute.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Alone(device)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Together(device, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    finally:
        distributed.destroy_process_group()
