"""Questions of the lessons on data: tokens, BPE, windows."""

from __future__ import annotations

from gptcore.figures.theme import marked
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import make_windows, over_epochs, window_counts
from pages._ui import resources, thread, window_view
from pages._ui.predict import Question
from pages._ui.window_view import counted

QUIET, LOUD = "The owl sent a letter.", "THE OWL SENT A LETTER."
OWL = "\U0001f989"
PAIRS = (" t", "th", "he", "in")
AVERAGES = (1, 2, 4, 8)


def tokens() -> list[Question]:
    """How many tokens, of how many characters, out of how many."""
    tokenizer, text = load_tokenizer(), thread.text().text
    quiet, loud = (len(tokenizer.encode(sentence)) for sentence in (QUIET, LOUD))
    mean = len(text) / max(len(resources.token_ids(text)), 1)
    return [
        Question(
            "quiz_tokens_capitals",
            f"Which has more tokens, “{QUIET}” or “{LOUD}”?",
            "the quiet one" if quiet > loud else "the loud one" if loud > quiet else "both have as many",
            f"{quiet} tokens in small letters, {loud} in capitals: words that are rare in this form are cut smaller.",
            ("the quiet one", "the loud one", "both have as many"),
        ),
        Question(
            "quiz_tokens_mean",
            "How many characters of the text of all lessons does a token hold on average?",
            f"about {min(AVERAGES, key=lambda count: abs(count - mean))}",
            f"{len(text):,} characters in {len(resources.token_ids(text)):,} tokens: {mean:.2f} each. A token is not "
            "a word.",
            tuple(f"about {count}" for count in AVERAGES),
        ),
        Question(
            "quiz_tokens_vocabulary",
            "GPT-2 has a token for each byte, one for each of 50,000 merges, and one that ends a text. How many is "
            "that?",
            tokenizer.vocab_size,
            f"2 to the power of 8 bytes, and 50,000 + 1. The last id is {tokenizer.vocab_size - 1:,}: the first is 0.",
        ),
    ]


def bpe() -> list[Question]:
    """Spaces, the first merge, and the bytes that all begins with."""
    tokenizer = load_tokenizer()
    bare, spaced = tokenizer.encode("clock"), tokenizer.encode(" clock")
    ids = {pair: tokenizer.encode(pair) for pair in PAIRS}
    first = min(PAIRS, key=ids.__getitem__)
    own = tokenizer.encode(OWL)
    return [
        Question(
            "quiz_bpe_space",
            "Is “clock” at the beginning of a text the same token as “clock” after a space?",
            "yes" if bare == spaced else "no",
            f"Without the space it is {bare}, with it {spaced}: the space belongs to what follows it.",
            ("yes", "no"),
        ),
        Question(
            "quiz_bpe_first",
            "Which of these pairs was merged first when GPT-2's vocabulary was learnt?",
            marked(first),
            f"It has the id {ids[first][0]}, the first after the 256 bytes; the others have "
            + ", ".join(str(ids[pair][0]) for pair in PAIRS if pair != first)
            + ". An id tells when a token was learnt.",
            tuple(marked(pair) for pair in PAIRS),
        ),
        Question(
            "quiz_bpe_bytes",
            f"{OWL} is one character. From how many bytes does its merging start?",
            len(OWL.encode()),
            f"They become {len(own)} tokens, {own}: none of them alone is a character.",
        ),
    ]


def windows() -> list[Question]:
    """What a window holds, how far its targets are moved, and what is never one."""
    settings, T = thread.training(), thread.model().context_length
    data = window_view.token_parts(thread.text(), window_view.cut_only(settings))
    stride, n = settings.stride or T, len(data.train_ids)
    counts = window_counts(n, T, stride, settings.batch_size, drop_last=True)
    never = over_epochs(n, T, stride, settings.batch_size, drop_last=True).never_targets
    skipped = f"; between two windows {counted(stride - T, 'token is', 'tokens are')} skipped" if stride > T else ""
    first, second = (make_windows(data.train_ids, 1, 1)[place][:, 0].tolist() for place in (0, 1))
    moved = next(shift for shift in range(n) if first[shift:] == second[: n - 1 - shift])
    return [
        Question(
            "quiz_windows_shift",
            f"A window has {T:,} input tokens here. By how many tokens is its target row moved against them?",
            moved,
            f"Token 2 is the target at place 1, token 3 at place 2, and so on. The stride of {stride:,} says where the "
            "next window starts, and nothing about targets.",
        ),
        Question(
            "quiz_windows_exercises",
            f"How many exercises does the model get from one window of {T:,} tokens?",
            make_windows(data.train_ids, T, stride)[1][:1].numel() or T,
            f"One a place: each token is to be foretold from all before it. An epoch of {counts.batches:,} batches has "
            f"{counts.predictions:,}.",
        ),
        Question(
            "quiz_windows_never",
            f"How many of the {n:,} training tokens does no window ever predict?",
            never,
            f"The first token has nothing before it, and what is left at the end fills no window{skipped}. The windows "
            "that fill no batch are other ones in each epoch.",
        ),
    ]
