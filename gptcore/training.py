"""The training loop: guess, measure, correct, a few hundred times, and report every step to whoever asks.

How to read it: ``update`` is one correction; ``evaluate`` measures without learning; ``train`` repeats the first and
now and then does the second. ``train`` is a generator: it knows nothing of who watches, and does nothing unless asked
for the next record. So a progress bar, a file and a test all drive the same loop.

Two orders of play: a *reference* run meets its windows in the book's order and gives the book's digits. Any other run
meets them in an order that follows from (seed, epoch) alone, so evaluating, sampling or being watched never changes
a loss. "Step n" is the state after update n + 1, as in the book, whose counter starts at -1.

What is left out: where records and weights are kept (``checkpoint``, ``runs``), and what makes it quick (``fast``).
Source: Raschka, section 5.2.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile

import torch
from torch import Tensor, nn

from gptcore import fast
from gptcore.batches import TrainingData, book_plain_order, book_shuffled_order, epoch_order, spread_order
from gptcore.config import GPTConfig, SamplingConfig, TrainConfig
from gptcore.loss import mean_loss
from gptcore.model import GPTModel
from gptcore.records import DivergedError, Record, Sample, StepRecord, Stop, StoppedError, UntrainedRecord, never
from gptcore.sampled import PartialVocabulary, sampled_loss
from gptcore.sampling import generate
from gptcore.schedule import learning_rate
from gptcore.several import Alone
from gptcore.variants import VARIANTS, Unchanged
from gptcore.windows import make_windows

SGD_MOMENTUM = 0.9


@dataclass(slots=True)
class TrainingState:
    """Everything that a run needs to go on; PyTorch's global random state belongs to it and is saved with it.

    Attributes:
        step: Updates done.
        order: The order of windows in the epoch that is under way, (windows,), int64.
        seconds: Time spent so far.
        variant: A deliberate change of this run; nearly always none.
        part: The vocabulary that updates take part by part; nearly always none.
        team: Which of the processes that train this run together this one is; nearly always the only one.
    """

    model: GPTModel
    optimiser: torch.optim.Optimizer
    config: TrainConfig
    data: TrainingData
    step: int = 0
    order: Tensor | None = None
    seconds: float = 0.0
    variant: Unchanged = field(init=False)
    part: PartialVocabulary | None = field(init=False, default=None)
    team: Alone = field(init=False, default_factory=Alone)

    def __post_init__(self) -> None:
        self.variant = VARIANTS[self.config.variant]
        if kept := self.config.sampled_vocab:
            self.part = PartialVocabulary.of(self.data.train_ids, self.model.config.vocab_size, kept)
        self.data = self.variant.data(self.data)
        self.variant.change_model(self.model)
        self.variant.change_optimiser(self.optimiser)

    def windows(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of one part of the text, both (windows, T)."""
        T = self.model.config.context_length
        return self.variant.windows(*make_windows(ids, T, self.config.stride or T))

    @property
    def batches_per_epoch(self) -> int:
        """Full batches in one reading of the training text; a last short one is left out."""
        return len(self.windows(self.data.train_ids)[0]) // self.config.batch_size

    @property
    def total_steps(self) -> int:
        """Updates from start to end."""
        return self.config.steps or self.config.epochs * self.batches_per_epoch


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW or SGD over all parameters; a reference run takes PyTorch's plain AdamW, as the book does."""
    weights, lr, decay = model.parameters(), config.lr, config.weight_decay
    if config.optimiser == "sgd":
        return torch.optim.SGD(weights, lr=lr, momentum=SGD_MOMENTUM, weight_decay=decay)
    if config.reference:
        return torch.optim.AdamW(weights, lr=lr, weight_decay=decay)
    return fast.fused_adamw(weights, lr=lr, weight_decay=decay)


def new_state(model_config: GPTConfig, config: TrainConfig, data: TrainingData) -> TrainingState:
    """A run at its beginning. Sets PyTorch's global seed: weights and dropout follow from it."""
    torch.manual_seed(config.seed)
    model = GPTModel(replace(model_config, vocab_size=data.tokenizer.vocab_size))
    return TrainingState(model, make_optimiser(model, config), config, data)


def batch_loss(state: TrainingState, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of a batch: logits then cross-entropy, or both in one where a run need not be the book's."""
    if state.config.reference or state.variant.plain_loss:
        return mean_loss(state.model(inputs), targets)
    if state.part is not None and state.model.training:
        return sampled_loss(state.model, inputs, targets, state.part, state.config, state.step)
    return fast.fused_loss(state.model, inputs, targets, state.config.precision)


def _diverged(state: TrainingState) -> DivergedError:
    """The end of a run whose numbers are no longer numbers, in a sentence."""
    lr = state.optimiser.param_groups[0]["lr"]
    return DivergedError(f"diverged at step {state.step}; learning rate {lr:g}: choose a smaller one")


def update(state: TrainingState, inputs: Tensor, targets: Tensor) -> tuple[float, float]:
    """Learn from one batch.

    Args:
        state: Changed in place: the weights and the optimiser's memory, not the step.
        inputs: (B, T), int64.
        targets: (B, T), int64.

    Returns:
        The loss before the update (nats a token) and the length of the gradient before clipping.

    Raises:
        DivergedError: The loss or the gradient is NaN or infinite; the weights stay as they were.
    """
    state.model.train()
    state.optimiser.zero_grad()
    loss = state.team.loss(state.model, partial(batch_loss, state), inputs, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    loss = state.team.mean(loss)
    longest = state.config.grad_clip or math.inf
    grad_norm = nn.utils.clip_grad_norm_(state.model.parameters(), longest)
    if not bool(torch.isfinite(loss) & torch.isfinite(grad_norm)):
        raise _diverged(state)
    state.optimiser.step()
    return loss.item(), grad_norm.item()


def next_batch(state: TrainingState) -> tuple[Tensor, Tensor]:
    """The windows of the next update, (B, T) each; a new epoch begins with a new order."""
    inputs, targets = state.windows(state.data.train_ids)
    step = state.variant.batch_number(state.step)
    epoch, position = divmod(step, state.batches_per_epoch)
    if state.order is None or position == 0:
        reference = state.config.reference
        state.order = (
            book_shuffled_order(len(inputs)) if reference else epoch_order(len(inputs), state.config.seed, epoch)
        )
    chosen = state.order[position * state.config.batch_size :][: state.config.batch_size]
    return inputs[chosen], state.variant.targets(targets[chosen], state.config.seed, step)


def _mean_over_batches(
    state: TrainingState, ids: Tensor, order: Tensor, batches: int | None, stop: Stop
) -> float | None:
    """The unweighted mean of batch losses in evaluation mode; None where the part holds no window."""
    inputs, targets = state.windows(ids)
    state.model.eval()
    losses = []
    with torch.no_grad():
        for chosen in torch.split(order, state.config.batch_size)[:batches]:
            if stop():
                raise StoppedError
            if len(chosen):
                losses.append(batch_loss(state, inputs[chosen], targets[chosen]).item())
    return sum(losses) / len(losses) if losses else None


def evaluate(state: TrainingState, stop: Stop = never) -> tuple[float | None, float | None]:
    """Training and validation loss in evaluation mode, on the same number of batches where there are as many.

    A reference run follows the book: new loaders are made, the training one shuffled, and that moves the global
    random numbers. Any other run looks at fixed windows and draws nothing.

    Returns:
        Mean nats a token over at most ``eval_batches`` batches of each part.

    Raises:
        StoppedError: ``stop`` said so between two batches.
    """
    batches = state.config.eval_batches
    # drop_last holds for the book's training loader at evaluation, too.
    train_windows = state.batches_per_epoch * state.config.batch_size
    all_train = len(state.windows(state.data.train_ids)[0])
    validation = len(state.windows(state.data.validation_ids)[0])
    if state.config.reference:
        train_order = book_shuffled_order(all_train)[:train_windows]
        train_loss = _mean_over_batches(state, state.data.train_ids, train_order, batches, stop)
        validation_order = book_plain_order(validation)
    else:
        wanted = batches * state.config.batch_size
        train_loss = _mean_over_batches(state, state.data.train_ids, spread_order(all_train, wanted), None, stop)
        validation_order = spread_order(validation, wanted)
    return train_loss, _mean_over_batches(state, state.data.validation_ids, validation_order, batches, stop)


def untrained(state: TrainingState, stop: Stop = never) -> UntrainedRecord:
    """Losses and sample before any update, over all windows in a reference run; draws no random number."""
    losses = []
    for ids in (state.data.train_ids, state.data.validation_ids):
        windows = len(state.windows(ids)[0])
        wanted = windows if state.config.reference else state.config.eval_batches * state.config.batch_size
        losses.append(_mean_over_batches(state, ids, spread_order(windows, wanted), None, stop))
    train_loss, val_loss = losses
    if train_loss is None:
        raise ValueError("the training text holds no window")
    return UntrainedRecord(train_loss, val_loss, say(state, -1, stop))


def say(state: TrainingState, step: int, stop: Stop = never) -> Sample:
    """Let the model go on with the prompt, greedily; no global random number is drawn. Stops between tokens."""
    tokenizer, prompt = state.data.tokenizer, state.data.prompt
    ids = tokenizer.encode(prompt)
    drawn = generate(state.model, ids, SamplingConfig(temperature=0.0), state.config.sample_tokens)
    said = [token.token_id for token in takewhile(lambda _: not stop(), drawn)]
    return Sample(step, prompt, tokenizer.decode(ids + said))


def _sample_is_due(state: TrainingState, done: int, evaluated: bool) -> bool:
    """After the last update always; else at each evaluation or at each epoch's end, as the settings say."""
    if done == state.total_steps:
        return True
    return evaluated if state.config.sample_at == "evaluation" else done % state.batches_per_epoch == 0


def train(state: TrainingState, stop: Stop = never) -> Iterator[Record]:
    """Train from where the state stands to the end, one record at a time.

    Between two records the state is whole: it may be saved there, and a run that goes on from it gives the same
    losses as one that was never stopped.

    Args:
        state: A new run (``new_state``) or one that was loaded; changed in place.
        stop: Asked between updates, batches of an evaluation and tokens of a sample. Once it says so, what is under
            way ends there: an update that was made is still reported, without the losses that were not measured.

    Yields:
        At a new run's start an UntrainedRecord; then one StepRecord per update, with losses where it was evaluated.

    Raises:
        DivergedError: The loss is NaN or infinite.
        StoppedError: Stopped before the first update, or a reference run inside an evaluation.
    """
    started = time.perf_counter() - state.seconds
    total, per_epoch = state.total_steps, state.batches_per_epoch
    tokens_per_step = state.config.batch_size * state.model.config.context_length
    if state.step == 0 and state.team.leads:
        yield untrained(state, stop)
    while state.step < total and not state.team.agree(stop()):
        step = state.step
        inputs, targets = next_batch(state)
        lr = learning_rate(step, total, state.config)
        for group in state.optimiser.param_groups:
            group["lr"] = lr
        loss, grad_norm = update(state, inputs, targets)
        train_loss, val_loss, sample = _look(state, step, stop) if state.team.leads else (None, None, None)
        state.step += 1
        state.seconds = time.perf_counter() - started
        yield StepRecord(
            step=step,
            epoch=step // per_epoch,
            tokens_seen=state.step * tokens_per_step,
            batch_loss=loss,
            grad_norm=grad_norm,
            lr=lr,
            seconds=state.seconds,
            train_loss=train_loss,
            val_loss=val_loss,
            sample=sample,
        )


def _look(state: TrainingState, step: int, stop: Stop) -> tuple[float | None, float | None, Sample | None]:
    """Both losses and a sample after an update, where they are due and nobody stops the run."""
    last = step + 1 == state.total_steps
    evaluated = step % state.config.eval_every == 0 or (last and not state.config.reference)
    try:
        losses = evaluate(state, stop) if evaluated else (None, None)
        if not all(value is None or math.isfinite(value) for value in losses):
            raise _diverged(state)
        sample = say(state, step, stop) if _sample_is_due(state, step + 1, evaluated) else None
    except StoppedError:
        if state.config.reference:
            raise
        return None, None, None
    except ValueError as error:
        raise _diverged(state) from error
    return (*losses, sample)
