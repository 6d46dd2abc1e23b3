"""Questions of the lessons on talking: sampling, and GPT-2's weights."""

from __future__ import annotations

from gptcore.config import MODEL_PRESETS, GPTConfig, SamplingConfig
from gptcore.figures.bars import percent
from gptcore.gpt2_names import mapping_rows
from gptcore.parameters import count_parameters
from gptcore.published import THE_VERDICT_LOSSES
from pages._ui import choices, resources, thread
from pages._ui.predict import Question

TOP_K = 5


def sampling() -> list[Question]:
    """What each rule does, by the first model at hand and the thread's prompt."""
    voice, prompt = choices.voices()[0], thread.text().prompt
    plain, cut, greedy = (
        resources.next_tokens(voice, prompt, rules)
        for rules in (SamplingConfig(), SamplingConfig(top_k=TOP_K), SamplingConfig(temperature=0.0))
    )
    likeliest = plain["probability"].max()
    held = plain["probability"].nlargest(TOP_K).sum()
    return [
        Question(
            "quiz_sampling_kept",
            f"The vocabulary has {len(plain):,} tokens. How many of them may be drawn with top-k {TOP_K}?",
            int((cut["probability"] > 0).sum()),
            f"Before the cut they held {percent(held)} of the probability; all others get 0.",
        ),
        Question(
            "quiz_sampling_sum",
            f"Top-k {TOP_K} sets all other probabilities to 0. What do those of all tokens sum to then?",
            "1" if abs(cut["probability"].sum() - 1) < 1e-6 else percent(held),
            f"What was cut is shared out again: the likeliest token goes from {percent(likeliest)} to "
            f"{percent(cut['probability'].max())}.",
            (percent(held), "1", "more than 1"),
        ),
        Question(
            "quiz_sampling_zero",
            f"The likeliest token has {percent(likeliest)} at temperature 1. What has it at temperature 0?",
            percent(greedy["probability"].max()),
            f"At 0 the likeliest is always taken. Nothing is divided by 0, and the {len(plain):,} scores stay as they "
            "are.",
            tuple(dict.fromkeys((percent(0.0), percent(likeliest), percent(1.0)))),
        ),
    ]


def pretrained() -> list[Question]:
    """What was published about GPT-2's weights, and what the ledger says of them."""
    small, book = MODEL_PRESETS["gpt2-small"], GPTConfig(qkv_bias=True)
    rows = mapping_rows(small)
    best = min(THE_VERDICT_LOSSES, key=lambda loss: loss.validation)
    more = count_parameters(book) - count_parameters(small)
    by_heart = min(THE_VERDICT_LOSSES, key=lambda loss: loss.train)
    return [
        Question(
            "quiz_pretrained_verdict",
            "Published: which of these models guesses the validation part of The Verdict best?",
            best.model,
            f"{best.validation:.2f} nats a token. {by_heart.model.capitalize()} has the lowest training loss, "
            f"{by_heart.train:.2f}, and {by_heart.validation:.2f} on the rest.",
            tuple(loss.model for loss in THE_VERDICT_LOSSES),
        ),
        Question(
            "quiz_pretrained_tensors",
            f"How many tensors does a file of GPT-2's small model hold, of its {small.n_layers} blocks and what "
            "stands around them?",
            len(rows),
            f"{int(rows['transposed'].sum())} of them are stored transposed, and each finds its place by its name.",
        ),
        Question(
            "quiz_pretrained_head",
            "GPT-2 reads its dictionary backwards as output head. The book's model gets a copy of it as a head of its "
            "own. How many parameters are that more?",
            f"{more / 1e6:.1f} M",
            f"{count_parameters(book):,} − {count_parameters(small):,} = {more:,}: {small.vocab_size:,} × "
            f"{small.emb_dim:,}.",
            ("none", f"{small.emb_dim**2 / 1e6:.1f} M", f"{more / 1e6:.1f} M"),
        ),
    ]
