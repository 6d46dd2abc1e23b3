"""One update, seen from the inside: everything that moves, in numbers.

How to read it: ``begin`` makes a session, ``one_update`` runs the lines of ``line_by_line`` on it and looks around at
their stops; after it, ``one_parameter`` follows a single number.

A session is the true beginning of a run: updated again and again, it has the losses, the gradients and the weights of
a run with its settings, to the last bit if that run uses one processor core, too.

What is left out: the optimisers' formulas (``gradients``), and what other learning rates would have done (``descent``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from gptcore import gradients
from gptcore.batches import book_plain_order, book_shuffled_order, prepare
from gptcore.config import GPTConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.gradients import ParameterStep, gradient_norms
from gptcore.line_by_line import loss_without_dropout, update_lines
from gptcore.model import GPTModel
from gptcore.records import DivergedError
from gptcore.schedule import learning_rate
from gptcore.tokenizer import Tokenizer, show_token
from gptcore.training import TrainingState, new_state, next_batch

FAVOURITES = 5

_ONE_AT_A_TIME = threading.Lock()  # random numbers and threads are the process's, and students share a process


@dataclass(frozen=True, slots=True)
class Before:
    """Where the last update began.

    Attributes:
        inputs: Of its batch, (B, T).
        targets: Of its batch, (B, T).
        loss: Of its batch, without dropout, in nats a token.
        weights: Every weight as it was, by name.
    """

    inputs: Tensor
    targets: Tensor
    loss: float
    weights: dict[str, Tensor]


@dataclass(slots=True)
class Session:
    """A run in the hands of one student.

    Attributes:
        state: The run itself.
        random: PyTorch's random numbers as this run left them.
        before: Where its last update began; None where there is no update to look back at.
    """

    state: TrainingState
    random: Tensor
    before: Before | None = None

    def look_back(self) -> Before:
        """Where the last update began.

        Raises:
            ValueError: There was none.
        """
        if self.before is None:
            raise ValueError("there is no update to look back at yet")
        return self.before


@dataclass(frozen=True, slots=True)
class Guess:
    """What the model expects after the first window of a batch, before and after the update, without dropout.

    Attributes:
        given: The window's tokens as text.
        target: The token that comes.
        before: Its probability before the update.
        after: Its probability after the update.
        table: The target, then the five likeliest tokens of either moment: token, before, after, is_target.
    """

    given: list[str]
    target: str
    before: float
    after: float
    table: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Update:
    """What one update did, in numbers; losses in nats a token.

    Attributes:
        step: 0 for the first update.
        lr: The learning rate of this step.
        hidden_shape: (B, T, C): what the blocks hand to the head.
        vocab_size: V: how many scores the head makes of it at each position.
        loss: With dropout, as a run records it.
        loss_before: The same batch without dropout, before the update.
        loss_after: The same batch without dropout, after the update.
        grad_norm: Length of the whole gradient, before clipping.
        norms: Frame of ``gradients.gradient_norms``.
        parameters: How many numbers can be learnt.
        changed: How many of them are others now.
        guess: One guess, before and after.
    """

    step: int
    lr: float
    hidden_shape: tuple[int, ...]
    vocab_size: int
    loss: float
    loss_before: float
    loss_after: float
    grad_norm: float
    norms: pd.DataFrame
    parameters: int
    changed: int
    guess: Guess


def begin(text: Text, model_config: GPTConfig, config: TrainConfig) -> Session:
    """A run before its first update; PyTorch's global random numbers stay as they were.

    Raises:
        TextError: The text is too short for these settings; the message holds the numbers.
        ValueError: The run is changed on purpose, or trains a part of its head at a time: its updates have other lines.
    """
    if config.variant != "none":
        raise ValueError(f"variant={config.variant} changes the lines of an update; look into a run without one")
    if config.sampled_vocab is not None:
        raise ValueError(
            f"sampled_vocab={config.sampled_vocab} takes a part of the head in each update; look into a run without it"
        )
    data = prepare(text, model_config, config)
    with alone():
        return Session(new_state(model_config, config, data), torch.get_rng_state())


@contextmanager
def alone(session: Session | None = None) -> Iterator[None]:
    """Compute with a session's own random numbers, leaving those of the process as they were, and on one core.

    A small model gains nothing from more; where other runs keep the cores busy, it would wait for them at every line.
    """
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        if session is not None:
            torch.set_rng_state(session.random)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
        if session is not None:
            session.random = torch.get_rng_state()


def one_update(session: Session) -> Update:
    """Update once, and look at everything that moves.

    Args:
        session: Changed in place, as a run is.

    Raises:
        DivergedError: A loss or the gradient is NaN or infinite: this run can't go on.
    """
    state, model = session.state, session.state.model
    session.before = None
    with alone(session):
        inputs, targets = next_batch(state)
        lr = learning_rate(state.step, state.total_steps, state.config)
        for group in state.optimiser.param_groups:
            group["lr"] = lr
        before = Before(inputs, targets, loss_without_dropout(state, inputs, targets).item(), copied_weights(model))
        expected = _expected(model, inputs[0])
        line = update_lines(state, inputs, targets)
        _, hidden, loss, _ = next(line), next(line), next(line), next(line)
        norms, length = gradient_norms(model), next(line)
        _expect_finite(state, loss, length)
        _, loss_after = next(line), next(line)
        _expect_finite(state, loss_after)
        _draw_as_an_evaluation_does(state)
    session.before = before
    state.step += 1
    return Update(
        step=state.step - 1,
        lr=lr,
        hidden_shape=tuple(hidden.shape),
        vocab_size=model.config.vocab_size,
        loss=loss.item(),
        loss_before=before.loss,
        loss_after=loss_after.item(),
        grad_norm=length.item(),
        norms=norms,
        parameters=sum(weight.numel() for weight in before.weights.values()),
        changed=sum(int((weight != before.weights[name]).sum()) for name, weight in model.named_parameters()),
        guess=_guess(state.data.tokenizer, inputs[0], int(targets[0, -1]), expected, _expected(model, inputs[0])),
    )


def _expect_finite(state: TrainingState, *numbers: Tensor) -> None:
    if not all(map(torch.isfinite, numbers)):
        lr = state.optimiser.param_groups[0]["lr"]
        raise DivergedError(f"diverged at step {state.step}; learning rate {lr:g}: choose a smaller one")


def _draw_as_an_evaluation_does(state: TrainingState) -> None:
    """A reference run's evaluations move the random numbers, and with them its later dropout."""
    if state.config.reference and state.step % state.config.eval_every == 0:
        book_shuffled_order(0)
        book_plain_order(0)


def copied_weights(model: GPTModel) -> dict[str, Tensor]:
    """Every weight of a model as it is now, by name."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


@torch.no_grad()
def _expected(model: GPTModel, window: Tensor) -> Tensor:
    """The probabilities (V) of what may follow a window (T), without dropout."""
    return torch.softmax(model.eval()(window[None])[0, -1].double(), dim=0)


def _guess(tokenizer: Tokenizer, window: Tensor, target: int, before: Tensor, after: Tensor) -> Guess:
    def text(token_id: int) -> str:
        return show_token(tokenizer.token_bytes(token_id))

    count = min(FAVOURITES, len(before))
    shown = {target, *before.topk(count).indices.tolist(), *after.topk(count).indices.tolist()}
    rows = [(text(i), float(before[i]), float(after[i]), i == target) for i in shown]
    table = pd.DataFrame(rows, columns=["token", "before", "after", "is_target"])
    return Guess(
        given=[text(i) for i in window.tolist()],
        target=text(target),
        before=float(before[target]),
        after=float(after[target]),
        table=table.sort_values(["is_target", "after"], ascending=False, ignore_index=True),
    )


def one_parameter(session: Session, name: str, index: int | None = None) -> ParameterStep:
    """One number through the last update; see ``gradients.one_parameter``."""
    before = session.look_back().weights
    return gradients.one_parameter(session.state.model, session.state.optimiser, before, name, index)
