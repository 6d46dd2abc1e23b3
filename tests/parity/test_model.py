"""Our model, orders and cuts against other people's: the book's own loop, PyTorch's loaders, transformers' filters.

The model below is written the book's way (Raschka, chapters 3 to 5): three projections, a mask, dropout on the
weights that were computed, two loaders, a plain loop. Tiny, so that a whole run takes a second. (GPT-2 in
``transformers`` against our model is in ``test_pretrained``.)
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from gptcore.batches import TrainingData, prepare
from gptcore.config import GPTConfig, SamplingConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.model import GPTModel
from gptcore.records import StepRecord, UntrainedRecord
from gptcore.sampling import choose
from gptcore.training import new_state, train

SHAPE = GPTConfig(context_length=16, emb_dim=24, n_heads=3, n_layers=2, drop_rate=0.1)
# 19 windows: nine batches and one window that the loader drops; evaluations stop before the loader ends.
SETTINGS = TrainConfig(batch_size=2, lr=4e-3, weight_decay=0.1, epochs=3, eval_every=3, eval_batches=2, reference=True)
STORY = Text(
    "story",
    "A story",
    "The lamp burned low and the keeper slept. The clock struck one, and then the keeper woke by the lamp. " * 15,
    "The lamp",
)

# ----------------------------------------------------------------------------------------------------- the book's model


class BookAttention(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        C = config.emb_dim
        self.config = config
        self.W_query = nn.Linear(C, C, bias=config.qkv_bias)
        self.W_key = nn.Linear(C, C, bias=config.qkv_bias)
        self.W_value = nn.Linear(C, C, bias=config.qkv_bias)
        self.out_proj = nn.Linear(C, C)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        H = self.config.n_heads
        q, k, v = (W(x).view(B, T, H, C // H).transpose(1, 2) for W in (self.W_query, self.W_key, self.W_value))
        scores = q @ k.transpose(2, 3)
        scores = scores.masked_fill(torch.triu(torch.ones(T, T), diagonal=1).bool(), -torch.inf)
        weights = self.dropout(torch.softmax(scores / (C // H) ** 0.5, dim=-1))
        return self.out_proj((weights @ v).transpose(1, 2).reshape(B, T, C))


class BookNorm(nn.Module):
    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = x.mean(dim=-1, keepdim=True), x.var(dim=-1, keepdim=True, unbiased=False)
        return self.scale * (x - mean) / torch.sqrt(variance + 1e-5) + self.shift


class BookGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class BookBlock(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        C = config.emb_dim
        self.att = BookAttention(config)
        self.ff = nn.Sequential(nn.Linear(C, 4 * C), BookGELU(), nn.Linear(4 * C, C))
        self.norm1, self.norm2 = BookNorm(C), BookNorm(C)
        self.drop_shortcut = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_shortcut(self.att(self.norm1(x)))
        return x + self.drop_shortcut(self.ff(self.norm2(x)))


class BookModel(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.pos_emb = nn.Embedding(config.context_length, config.emb_dim)
        self.drop_emb = nn.Dropout(config.drop_rate)
        self.trf_blocks = nn.Sequential(*(BookBlock(config) for _ in range(config.n_layers)))
        self.final_norm = BookNorm(config.emb_dim)
        self.out_head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tok_emb(ids) + self.pos_emb(torch.arange(ids.size(1)))
        return self.out_head(self.final_norm(self.trf_blocks(self.drop_emb(x))))


@pytest.mark.parametrize("qkv_bias", [False, True])
def test_the_same_seed_makes_the_books_model_and_ours_alike(qkv_bias: bool) -> None:
    """One matrix for queries, keys and values takes the random numbers that the book's three would take.

    With biases it would not: a layer's bias is drawn after its weight. The book trains without them.
    """
    config = replace(SHAPE, vocab_size=53, qkv_bias=qkv_bias)
    torch.manual_seed(123)
    book = BookModel(config).eval()
    torch.manual_seed(123)
    ours = GPTModel(config).eval()
    same = torch.allclose(ours(ids := torch.arange(32).view(2, 16)), book(ids), atol=1e-6)
    assert same is not qkv_bias


def test_dropout_draws_the_books_random_numbers() -> None:
    config = replace(SHAPE, vocab_size=53, drop_rate=0.3)
    logits = []
    for kind in (BookModel, GPTModel):
        torch.manual_seed(123)
        model = kind(config).train()
        logits.append(model(torch.arange(32).view(2, 16)))
        logits.append(torch.rand(3))  # and leaves the same state behind
    torch.testing.assert_close(logits[0], logits[2], atol=1e-6, rtol=0)
    assert torch.equal(logits[1], logits[3])


# ------------------------------------------------------------------------------------------------------ the book's loop


def book_loader(ids: Tensor, *, shuffle: bool, drop_last: bool) -> DataLoader[tuple[Tensor, ...]]:
    T = SHAPE.context_length
    starts = range(0, len(ids) - T, T)
    inputs = torch.stack([ids[i : i + T] for i in starts])
    targets = torch.stack([ids[i + 1 : i + T + 1] for i in starts])
    return DataLoader(TensorDataset(inputs, targets), SETTINGS.batch_size, shuffle=shuffle, drop_last=drop_last)


def book_batch_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def book_loader_loss(model: nn.Module, loader: DataLoader[tuple[Tensor, ...]], batches: int) -> float:
    total = 0.0
    batches = min(batches, len(loader))
    for i, (inputs, targets) in enumerate(loader):
        if i >= batches:
            break
        total += book_batch_loss(model, inputs, targets).item()
    return total / batches


def book_run(data: TrainingData) -> list[tuple[int, float, float | None, float | None]]:
    """Step, batch loss, and the two losses of an evaluation, as the book's train_model_simple goes about it."""
    torch.manual_seed(SETTINGS.seed)
    model = BookModel(replace(SHAPE, vocab_size=data.tokenizer.vocab_size))
    optimiser = torch.optim.AdamW(model.parameters(), lr=SETTINGS.lr, weight_decay=SETTINGS.weight_decay)
    train_loader = book_loader(data.train_ids, shuffle=True, drop_last=True)
    val_loader = book_loader(data.validation_ids, shuffle=False, drop_last=False)
    rows: list[tuple[int, float, float | None, float | None]] = []
    step = -1
    for _ in range(SETTINGS.epochs):
        model.train()
        for inputs, targets in train_loader:
            optimiser.zero_grad()
            loss = book_batch_loss(model, inputs, targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            step += 1
            losses: tuple[float | None, float | None] = (None, None)
            if step % SETTINGS.eval_every == 0:
                model.eval()
                with torch.no_grad():
                    first = book_loader_loss(model, train_loader, SETTINGS.eval_batches)
                    losses = (first, book_loader_loss(model, val_loader, SETTINGS.eval_batches))
                model.train()
            rows.append((step, loss.item(), *losses))
    return rows


def small_vocabulary() -> TrainingData:
    """A reference run reads GPT-2's whole vocabulary; the few tokens of this story do as well and are quicker."""
    return prepare(STORY, SHAPE, replace(SETTINGS, reference=False, compact_vocab=True))


def test_a_reference_run_is_the_books_run_step_by_step() -> None:
    data = small_vocabulary()
    book = book_run(data)
    records = [record for record in train(new_state(SHAPE, SETTINGS, data)) if isinstance(record, StepRecord)]
    ours = [(r.step, r.batch_loss, r.train_loss, r.val_loss) for r in records]
    assert len(ours) == len(book) == 3 * 9
    assert [row[0] for row in ours if row[3] is not None] == list(range(0, len(book), 3))
    for mine, theirs in zip(ours, book, strict=True):
        assert mine[0] == theirs[0]
        assert [x is None for x in mine] == [x is None for x in theirs]
        assert [x for x in mine if x is not None] == pytest.approx([x for x in theirs if x is not None], abs=1e-4)


def test_a_fast_runs_first_update_is_that_of_a_reference_run_where_nothing_is_random() -> None:
    """One batch of all windows, no dropout: other code, the same loss, gradient and evaluation."""
    data = small_vocabulary()
    windows = (len(data.train_ids) - 1) // SHAPE.context_length
    records = []
    for reference in (True, False):
        settings = replace(SETTINGS, batch_size=windows, steps=1, reference=reference)
        first, record = train(new_state(replace(SHAPE, drop_rate=0.0), settings, data))
        assert isinstance(first, UntrainedRecord)
        assert isinstance(record, StepRecord)
        records.append((first.train_loss, record.batch_loss, record.grad_norm, record.train_loss, record.val_loss))
    assert records[0] == pytest.approx(records[1], rel=1e-4)


# ----------------------------------------------------------------------------------------- transformers' logits filters

LOGITS = st.integers(0, 10_000).map(lambda seed: 3 * torch.randn(50, generator=torch.Generator().manual_seed(seed)))


@given(LOGITS, st.floats(0.05, 5.0), st.integers(1, 60), st.floats(0.05, 0.99))
def test_top_k_temperature_and_top_p_keep_what_transformers_keeps(
    logits: Tensor, temperature: float, k: int, p: float
) -> None:
    """Without ties, where transformers keeps more than k tokens."""
    scores = logits[None].double()
    ids = torch.zeros(1, 1, dtype=torch.int64)
    for warper in (TemperatureLogitsWarper(temperature), TopKLogitsWarper(k), TopPLogitsWarper(p)):
        scores = warper(ids, scores)
    choice = choose(logits, SamplingConfig(temperature=temperature, top_k=k, top_p=p))
    assert torch.equal(choice.kept, torch.isfinite(scores[0]))
    torch.testing.assert_close(choice.probability, torch.softmax(scores[0], dim=0))


@given(LOGITS, st.floats(0.05, 5.0), st.floats(0.05, 0.99))
def test_top_p_first_is_transformers_with_its_filters_the_other_way_round(
    logits: Tensor, temperature: float, p: float
) -> None:
    scores = logits[None].double()
    ids = torch.zeros(1, 1, dtype=torch.int64)
    for warper in (TopPLogitsWarper(p), TemperatureLogitsWarper(temperature)):
        scores = warper(ids, scores)
    choice = choose(logits, SamplingConfig(temperature=temperature, top_p=p, top_p_first=True))
    assert torch.equal(choice.kept, torch.isfinite(scores[0]))
    torch.testing.assert_close(choice.probability, torch.softmax(scores[0], dim=0))
