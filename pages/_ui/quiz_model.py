"""Questions of the lessons on the model: parameters, the forward pass, the loss."""

from __future__ import annotations

from math import prod

from gptcore.baselines import uniform_loss
from gptcore.config import MODEL_PRESETS, GPTConfig
from gptcore.parameters import count_parameters, leaves, parameter_table
from gptcore.slips import SLIPS
from pages._ui import against, choices, resources, thread
from pages._ui.loss_views import MEANT, SAID
from pages._ui.predict import Question

SIZES = {6: "1.6 million", 9: "1.6 billion", 12: "1.6 trillion"}  # by how many digits follow the first
SURE, UNSURE = 0.5, 0.005
MOST_TOKENS = 12  # of a prompt: two passes answer at once


def parameters() -> list[Question]:
    """Three counts that went wrong in the sources."""
    shape = GPTConfig()
    output = next(leaf for leaf in leaves(shape) if leaf.part.endswith("out_proj.weight"))
    head = next(leaf for leaf in leaves(shape) if leaf.part == "head.weight")
    table, potter = parameter_table(thread.model()), count_parameters(MODEL_PRESETS["harry-potter"])
    return [
        Question(
            "quiz_parameters_projection",
            f"“{SLIPS['projection']}” It is a matrix of {output.shape[0]} × {output.shape[1]}. How many has it?",
            f"{prod(output.shape) / 1e6:.2f} M",
            f"{output.shape[0]} × {output.shape[1]} = {prod(output.shape):,}.",
            ("59 M", "5.9 M", "0.59 M"),
            slip="projection",
        ),
        Question(
            "quiz_parameters_softmax",
            f"“{SLIPS['softmax']}” How many numbers does the softmax of the thread's model learn?",
            int(table.loc[table["part"].str.contains("softmax"), "count"].sum()),
            f"No row of the ledger's {len(table):,} is a softmax. The output head before it is one: in GPT-2's small "
            f"shape {head.shape[0]:,} × {head.shape[1]:,} = {prod(head.shape):,}.",
            slip="softmax",
        ),
        Question(
            "quiz_parameters_million",
            f"“{SLIPS['million']}” How many has that model, with its width of {MODEL_PRESETS['harry-potter'].emb_dim}?",
            SIZES[len(f"{potter}") - 1],
            f"{potter:,}, all told. A million times as many would be {potter / 1e6:.1f} trillion.",
            tuple(SIZES.values()),
            slip="million",
        ),
    ]


def forward_pass() -> list[Question]:
    """The mask, its weights, and the scores, by the first model at hand and the thread's prompt."""
    from gptcore import forward
    from gptcore.loss import window_logits

    voice = choices.voices()[0]
    model, tokenizer = resources.speak(voice)
    ids = resources.prompt_ids(tokenizer, thread.text().prompt)[:MOST_TOKENS]
    ids = (ids * 3)[: max(len(ids), 3)]  # a prompt may be one token
    seen = forward.trace(model, ids)
    other = [*ids[:-1], (ids[-1] + 1) % tokenizer.vocab_size]
    as_it_is, edited = (window_logits(model, [*each, 0])[0] for each in (ids, other))
    at_first, at_last = (float((as_it_is[at] - edited[at]).abs().max()) for at in (0, -1))
    name, T = against.named(voice.label), len(ids)
    return [
        Question(
            "quiz_forward_mask",
            f"In a prompt of {T} tokens the last one is changed. What happens to the scores that {name} gives after "
            "the first token?",
            "nothing" if at_first == 0 else "they change",
            f"Of {as_it_is.size(-1):,} scores the one that moved most moved by {at_first:.2f} there, and by "
            f"{at_last:.2f} after the last token. No token sees what comes after it.",
            ("nothing", "they change"),
        ),
        Question(
            "quiz_forward_weights",
            f"How many attention weights of one head are above 0 with {T} tokens, each looking at itself and at all "
            "before it?",
            int((seen.weights[0, 0] > 0).sum()),
            f"1 + 2 + … + {T}. The other {T * T - int((seen.weights[0, 0] > 0).sum())} of {T} × {T} are masked, and "
            "exactly 0.",
        ),
        Question(
            "quiz_forward_scores",
            f"How many scores does {name} make for what may follow the last token?",
            seen.logits.numel(),
            f"One for each token of its vocabulary, all from one vector of {model.config.emb_dim:,} numbers.",
        ),
    ]


def losses() -> list[Question]:
    """What a perplexity is, of a given loss, of a blind model, of two guesses."""
    from gptcore.loss import perplexity, surprise

    level, vocabulary = uniform_loss(MEANT), thread.model().vocab_size
    together = perplexity((surprise(SURE) + surprise(UNSURE)) / 2)
    apart = (1 / SURE + 1 / UNSURE) / 2
    return [
        Question(
            "quiz_loss_perplexity",
            f"“{SLIPS['perplexity']}” The loss was {level:.3f} nats. Among how many equally likely tokens is that a "
            "choice?",
            f"{perplexity(level):,.0f}",
            f"e to {level:.3f} is the perplexity itself; a choice among {SAID:,} would have a loss of "
            f"{uniform_loss(SAID):.3f}.",
            (f"{SAID:,}", f"{MEANT:,}", f"{vocabulary:,}"),
            slip="perplexity",
        ),
        Question(
            "quiz_loss_blind",
            f"A model that knows nothing gives each of {vocabulary:,} tokens the same probability. What is its "
            "perplexity?",
            round(perplexity(uniform_loss(vocabulary))),
            f"Its loss is ln {vocabulary:,} = {uniform_loss(vocabulary):.3f} nats, whatever token comes.",
        ),
        Question(
            "quiz_loss_mean",
            f"One guess gave the token that came a probability of {SURE:g}, the next one {UNSURE:g}. What is the "
            "perplexity of both?",
            f"{together:.0f}",
            f"e to the mean loss of {surprise(SURE):.2f} and {surprise(UNSURE):.2f} nats. The mean of the two "
            f"perplexities, {apart:.0f}, is something else.",
            (f"{1 / SURE:.0f}", f"{together:.0f}", f"{apart:.0f}"),
        ),
    ]
