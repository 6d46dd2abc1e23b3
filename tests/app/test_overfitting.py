"""Over-fitting: the gap, the best step, the verdict, and the passages that were copied."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, Text, load_text
from gptcore.overfitting import UNTRAINED, Evaluation, best
from gptcore.paths import runs_home
from gptcore.runs.store import Run, RunStore
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text, window_counts
from pages._ui import replay, thread

Open = Callable[..., AppTest]
Losses = Sequence[tuple[float, float | None]]
OVERFITTED: Losses = [(9.0, 9.1), (6.0, 6.4), (4.0, 6.0), (2.0, 6.3), (1.0, 6.6)]
STEP = 5  # updates between two evaluations


@pytest.fixture
def written_run(data_home: Path) -> Callable[..., Run]:
    """Writes a run as a worker would have: evaluations every fifth step, and a sample at each."""

    def write(losses: Losses, says: Sequence[str] = (), text: Text | None = None) -> Run:
        run = RunStore(runs_home()).create(text or load_text(OWN_STORY), MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
        row: dict[str, Any] = {"epoch": 0, "tokens_seen": 0, "batch_loss": 1.0, "grad_norm": 1, "lr": 1, "seconds": 1}
        with (run.folder / "metrics.jsonl").open("w") as metrics, (run.folder / "samples.jsonl").open("w") as samples:
            for i, (train, validation) in enumerate(losses):
                here = {"step": i * STEP, "epoch": i, "train_loss": train, "val_loss": validation}
                metrics.write(json.dumps(row | here) + "\n")
                if i < len(says):
                    samples.write(json.dumps({"step": i * STEP, "prompt": "A", "text": f"A{says[i]}"}) + "\n")
        run.update_status(state="done")
        return run

    return write


def points(losses: Losses) -> list[Evaluation]:
    return [
        Evaluation(i * STEP, i + 1, train, validation) for i, (train, validation) in enumerate(losses) if validation
    ]


def opened(lesson: Open, run: Run) -> AppTest:
    page = lesson("overfitting", **{thread.RUN: run.id})
    assert not page.exception
    return page


def prose(page: AppTest) -> str:
    return " ".join(element.value for element in [*page.markdown, *page.caption, *page.info, *page.success])


def machine(page: AppTest) -> dict[str, Any]:
    """What the time machine was given."""
    return json.loads(page.get_by_key("overfitting_time_machine").proto.bytes)


def test_the_recorded_run_is_named_and_its_gaps_are_those_of_its_rows(lesson: Open) -> None:
    page = lesson("overfitting")
    rows = [row for row in Run(thread.RECORDED_RUN).metrics()[0] if row["val_loss"] is not None]
    best, latest = min(rows, key=lambda row: row["val_loss"]), rows[-1]
    assert [text.value for text in page.text] == [f"The recorded run on {Run(thread.RECORDED_RUN).text.title}"]
    gaps = {metric.label.split("step ")[1]: metric.value for metric in page.metric}
    assert gaps == {str(row["step"]): f"{row['val_loss'] - row['train_loss']:.2f} nats" for row in (best, latest)}


def test_a_run_trained_here_is_called_yours_and_its_title_is_shown_letter_by_letter(
    lesson: Open, written_run: Callable[..., Run]
) -> None:
    text = replace(load_text(OWN_STORY), key="own", title="**:red[$x$]**")
    page = opened(lesson, written_run(OVERFITTED, text=text))
    assert [line.value for line in page.text] == ["Your run on **:red[$x$]**"]
    assert ":red[" not in prose(page)


@pytest.mark.parametrize(
    ("losses", "begins"),
    [
        (OVERFITTED, "Yes: since step 10 the validation loss has risen by 10.0%, from 6.00 to 6.60, while"),
        ([(9.0, 9.1), (6.0, 6.4)], "Not yet: the latest validation loss, 6.40 nats"),
        ([(6.0, 6.0), (5.0, 6.1)], "Not by our rule: since step 0 the validation loss has risen by 1.7%"),
        ([(6.0, 6.0), (6.5, 7.0)], "No, but something else is wrong"),
    ],
)
def test_the_verdict_follows_its_stated_rule(losses: Losses, begins: str) -> None:
    assert replay.verdict(points(losses)).startswith(begins)


def test_the_best_step_is_the_first_of_equals_and_never_the_untrained_one() -> None:
    assert best(points([(9.0, 9.0), (5.0, 6.0), (4.0, 6.0)])).step == STEP
    assert best([Evaluation(UNTRAINED, 1, 2.0, 2.0), Evaluation(0, 1, 3.0, 3.0)]).step == 0


def test_stopping_at_the_best_step_says_what_was_saved(lesson: Open, written_run: Callable[..., Run]) -> None:
    page = opened(lesson, written_run(OVERFITTED))
    assert "stopped at step 10, you would have kept a validation loss of 6.00 and saved 10 of 21 updates" in prose(page)
    assert "in epoch 2, it is 0.40 nats already" in prose(page)
    assert "best only at step 10, in epoch 3" in prose(page)


def test_the_page_says_how_many_windows_judge(lesson: Open, written_run: Callable[..., Run]) -> None:
    run = written_run(OVERFITTED)
    config, T = run.train_config, run.model_config.context_length
    ids = load_tokenizer().encode(split_text(run.text.text, config.train_fraction)[1])
    counts = window_counts(len(ids), T, config.stride or T, config.batch_size, drop_last=False)
    windows = min(counts.windows, config.eval_batches * config.batch_size)
    assert f"{windows} validation windows in {min(counts.batches, config.eval_batches)} batches" in prose(
        opened(lesson, run)
    )


def test_the_time_machine_has_each_evaluation_and_opens_at_the_best(
    lesson: Open, written_run: Callable[..., Run]
) -> None:
    given = machine(opened(lesson, written_run(OVERFITTED)))
    assert [(moment["train"], moment["validation"]) for moment in given["moments"]] == OVERFITTED
    assert given["best"] == given["start"] == 2
    assert given["moments"][2]["stop"] == "The best moment to stop: 10 later updates brought nothing for unseen text."
    assert given["moments"][1]["stop"].startswith("Had you stopped here, you would have missed 0.40 nats")
    assert given["moments"][4]["stop"] == (
        "Had you stopped at step 10, the validation loss would be 0.60 lower, and 10 updates saved."
    )


def test_a_moment_without_a_text_of_its_own_shows_the_last_one_before_it(
    lesson: Open, written_run: Callable[..., Run]
) -> None:
    moments = machine(opened(lesson, written_run(OVERFITTED, says=[" first", " second"])))["moments"]
    said = ["".join(text for text, _, _ in moment["pieces"]) for moment in moments]
    assert said == ["A first", *["A second"] * 4]
    assert [moment["asked"].split(",")[0] for moment in moments] == ["After step 0", *["After step 5"] * 4]


def test_a_long_run_of_line_ends_is_drawn_as_a_number(lesson: Open, written_run: Callable[..., Run]) -> None:
    page = opened(lesson, written_run([(9.0, 9.1)], says=["\n" * 30 + '"No."\n\nYes']))
    assert "".join(text for text, _, _ in machine(page)["moments"][0]["pieces"]) == 'A ⏎ × 30\n"No."\n\nYes'


def test_a_prediction_is_checked_against_the_run(lesson: Open, written_run: Callable[..., Run]) -> None:
    run = written_run(OVERFITTED)
    page = opened(lesson, run)
    for guess, answer in ((5, "You said 5; it is 10."), (10, "Yes: 10.")):
        page.number_input(key=f"overfitting_{run.id}_predict_guess").set_value(guess)
        page.button(key=f"overfitting_{run.id}_predict_check").click().run()
        assert answer in prose(page)
        assert "At step 10 the validation loss is 6.000 nats a token; at step 20 it is 0.600 more." in prose(page)


def test_guess_first_hides_the_best_step_until_it_was_guessed(lesson: Open, written_run: Callable[..., Run]) -> None:
    run = written_run(OVERFITTED, says=[" x"])
    page = opened(lesson, run)
    assert machine(page)["best"] == 2
    page.toggle(key="overfitting_hide").set_value(True).run()
    hidden = machine(page)
    assert (hidden["best"], hidden["start"]) == (None, 0)
    assert not any(moment["stop"] for moment in hidden["moments"])
    assert not page.metric
    assert "step 10" not in prose(page)
    page.number_input(key=f"overfitting_{run.id}_predict_guess").set_value(15)
    page.button(key=f"overfitting_{run.id}_predict_check").click().run()
    assert machine(page)["best"] == 2
    assert len(page.metric) == 2


def test_a_run_with_one_evaluation_shows_its_gap_and_asks_nothing(
    lesson: Open, written_run: Callable[..., Run]
) -> None:
    page = opened(lesson, written_run([(9.0, 9.25)], says=[" x"]))
    assert [(metric.label, metric.value) for metric in page.metric] == [("Gap, best and latest step 0", "0.25 nats")]
    assert "One evaluation so far" in prose(page)
    assert not page.number_input


def test_a_run_without_an_evaluation_gives_a_sentence(lesson: Open, data_home: Path) -> None:
    run = RunStore(runs_home()).create(load_text(OWN_STORY), MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
    page = opened(lesson, run)
    assert "This run is queued and has not been evaluated yet" in prose(page)


def test_a_run_without_validation_windows_gives_a_sentence_with_the_numbers(
    lesson: Open, written_run: Callable[..., Run]
) -> None:
    text = Text("own", "Short", load_text(OWN_STORY).text[:600], "A")
    run = written_run([(9.0, None), (3.0, None)], text=text)
    tokens = len(load_tokenizer().encode(split_text(text.text, run.train_config.train_fraction)[1]))
    page = opened(lesson, run)
    assert f"its validation part holds {tokens} tokens, and one window takes 33" in prose(page)
