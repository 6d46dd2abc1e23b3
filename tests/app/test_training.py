"""The training lesson: what the controls say is what is trained, and what can't be trained is said in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from gptcore import batches, timeline
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, to_json
from gptcore.corpora import OWN_STORY, TextError, load_text, read_bytes
from gptcore.machine import cores
from gptcore.overfitting import phase
from gptcore.paths import REPOSITORY, runs_home
from gptcore.runs import queue
from gptcore.runs.files import replace_json
from gptcore.runs.store import Run, RunStore, owner_of
from gptcore.schedule import learning_rate
from gptcore.timeline import look_back
from pages._ui import choices, owner, replay, resources, teaching, thread

Open = Callable[..., AppTest]
Refusals = Callable[[AppTest], list[str]]
Chart = Callable[[AppTest], dict[str, list[float]]]
TEN_WORDS = b"One two three four five six seven eight nine ten."


@pytest.fixture
def page(lesson: Open) -> AppTest:
    return lesson("training")


def runs() -> list[Run]:
    return list(RunStore(runs_home()))


def upload(page: AppTest, raw: bytes, name: str = "mine.txt") -> AppTest:
    page.selectbox("training_text").select("own text").run()
    return page.file_uploader("training_upload").set_value((name, raw, "text/plain")).run()


def captions(page: AppTest) -> list[str]:
    return [caption.value for caption in page.caption]


def train(page: AppTest) -> AppTest:
    return page.button("training_start").click().run()


@pytest.fixture
def chart(drawn: Callable[..., list[dict[str, Any]]]) -> Chart:
    """The name of each line, and its places along the axis."""
    return lambda page: {line["name"]: line["x"] for line in drawn(page, "training_curves")}


@pytest.fixture
def curves(lesson: Open) -> Open:
    """Opens the lesson on an ended run, or on the recorded one, and looks at its curves."""

    def look(run: Run | None = None) -> AppTest:
        page = lesson("training", **({thread.RUN: run.id} if run else {}))
        return page.segmented_control("training_view").set_value("Curves").run()

    return look


def machine(page: AppTest) -> dict[str, Any]:
    """What the time machine was given."""
    return json.loads(page.get_by_key("time_machine").proto.bytes)


def test_the_first_thing_to_see_is_the_recorded_run_as_a_time_machine(page: AppTest) -> None:
    given, recorded = machine(page), look_back(Run(thread.RECORDED_RUN))
    assert [moment["validation"] for moment in given["moments"]] == [each.validation for each in recorded.moments]
    assert "training_curves" not in [chart.key for chart in page.get("plotly_chart")]


def test_an_ended_run_can_be_dragged_through(lesson: Open, finished_run: Run) -> None:
    given = machine(lesson("training", **{thread.RUN: finished_run.id}))
    asked = {row["step"]: row for row in finished_run.probes()}
    said = {row["step"]: row["text"] for row in finished_run.samples()}
    assert [moment["step"] for moment in given["moments"]] == [-1, 0, 2, 4, 5]
    for moment in given["moments"]:
        assert moment["costs"] == asked[moment["step"]]["losses"]
        assert moment["following"] == asked[moment["step"]]["next"]
        assert "".join(text for text, _, _ in moment["pieces"]) == said[moment["step"]]
    assert [len(passage["tokens"]) for passage in given["passages"]] == [33, 33]


def test_every_recorded_run_can_be_looked_back_at(lesson: Open, finished_run: Run) -> None:
    page = lesson("training", **{thread.RUN: finished_run.id})
    for name in timeline.names():
        page.selectbox("time_machine_choice").select(name).run()
        assert not page.exception
        assert [moment["train"] for moment in machine(page)["moments"]] == [
            moment.train for moment in timeline.load(name).moments
        ]


def test_without_a_run_of_ones_own_the_recorded_one_is_shown(curves: Open, chart: Chart) -> None:
    page = curves()
    rows, _ = Run(thread.RECORDED_RUN).metrics()
    assert any(f"recorded · step {len(rows):,} of" in caption.value for caption in page.caption)
    assert chart(page)["training"] == [row["step"] for row in rows if row["train_loss"] is not None]
    assert runs() == []


def test_train_makes_a_run_of_exactly_what_the_controls_say(page: AppTest) -> None:
    assert not train(page).exception
    (run,) = runs()
    preset = page.selectbox("training_preset").value
    shown = TRAIN_PRESETS[preset]
    if shown.steps is None:
        shown = replace(shown, steps=page.number_input(f"training_steps_{preset}").value)
    assert run.train_config == shown
    assert run.model_config == MODEL_PRESETS[preset]
    assert run.text == replace(load_text(OWN_STORY), notes=())
    assert page.session_state[thread.RUN] == run.id


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 7),
        ("lr", 0.002),
        ("batch_size", 3),
        ("eval_every", 4),
        ("eval_batches", 2),
        ("seed", 99),
        ("train_share", 0.5),
        ("train_fraction", 0.8),
        ("stride", 16),
        ("weight_decay", 0.2),
        ("warmup_steps", 5),
        ("min_lr", 0.001),
        ("min_lr", None),
        ("grad_clip", 1.0),
        ("max_minutes", 2.5),
    ],
)
def test_every_number_reaches_the_run(page: AppTest, name: str, value: float | None) -> None:
    page.number_input(f"training_{name}_class").set_value(value).run()
    train(page)
    assert to_json(runs()[0].train_config) == to_json(TRAIN_PRESETS["class"]) | {name: value}


@pytest.mark.parametrize(("name", "value"), [("optimiser", "sgd"), ("precision", "bfloat16")])
def test_every_choice_reaches_the_run(page: AppTest, name: str, value: str) -> None:
    page.selectbox(f"training_{name}_class").select(value).run()
    train(page)
    assert to_json(runs()[0].train_config) == to_json(TRAIN_PRESETS["class"]) | {name: value}


def test_every_switch_reaches_the_run(page: AppTest) -> None:
    page.toggle("training_compact_vocab_class").set_value(False).run()
    page.toggle("training_reference_class").set_value(True).run()
    train(page)
    assert runs()[0].train_config == replace(TRAIN_PRESETS["class"], compact_vocab=False, reference=True)


def test_the_preset_decides_model_and_settings(page: AppTest) -> None:
    page.selectbox("training_preset").select("harry-potter").run()
    steps = page.number_input("training_steps_harry-potter").value
    train(page)
    (run,) = runs()
    assert run.model_config == MODEL_PRESETS["harry-potter"]
    assert run.train_config == replace(TRAIN_PRESETS["harry-potter"], steps=steps, threads=cores())


def test_the_text_chosen_here_is_trained_on(page: AppTest) -> None:
    mine = read_bytes(b"A line of one's own, told again. " * 400, "mine.txt")
    upload(page, mine.text.encode())
    assert not train(page).exception
    assert runs()[0].text == mine


def test_the_line_before_training_counts_as_gptcore_does(page: AppTest) -> None:
    config = replace(TRAIN_PRESETS["class"], compact_vocab=False)
    page.toggle("training_compact_vocab_class").set_value(False).run()
    counts = resources.text_counts(load_text(OWN_STORY).text, MODEL_PRESETS["class"].context_length, config)
    said = f"{counts.train.windows:,} + {counts.validation.windows:,} windows of 32 tokens"
    assert any(said in caption.value for caption in page.caption)


def test_a_text_shorter_than_the_context_is_refused_in_one_sentence(
    curves: Open, chart: Chart, refusals: Refusals
) -> None:
    page = upload(curves(), TEN_WORDS)
    before = chart(page)
    train(page)
    with pytest.raises(TextError) as refused:
        batches.prepare(read_bytes(TEN_WORDS, "mine.txt"), MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
    assert not page.exception
    assert [said.lower() for said in refusals(page)] == [f"{refused.value}.".lower()]
    assert runs() == []
    assert chart(page) == before


def test_a_text_that_is_no_text_leaves_the_former_one(page: AppTest, refusals: Refusals) -> None:
    upload(page, b"\xff\xfe\x00")
    assert not page.exception
    (said,) = refusals(page)
    assert "is not UTF-8 text: byte 0 is 0xff" in said
    assert page.session_state[thread.TEXT].key == OWN_STORY


def test_settings_that_exclude_each_other_are_refused_in_one_sentence(page: AppTest, refusals: Refusals) -> None:
    page.toggle("training_reference_class").set_value(True).run()
    assert not page.exception
    assert refusals(page) == ["A reference run needs optimiser=adamw, precision=float32 and the full vocabulary."]
    page.toggle("training_compact_vocab_class").set_value(False).run()
    assert not page.error


def test_a_run_too_large_for_this_machine_is_refused_before_it_is_made(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, refusals: Refusals
) -> None:
    monkeypatch.setattr("gptcore.machine.memory_limit", lambda: 2**20)
    train(page)
    assert not page.exception
    (said,) = refusals(page)
    assert said.startswith("This run needs ")
    assert " of 1 MiB: choose a smaller model" in said
    assert runs() == []


def test_a_refused_run_leaves_the_former_run_in_place(curves: Open, finished_run: Run, chart: Chart) -> None:
    page = upload(curves(finished_run), TEN_WORDS)
    train(page)
    assert len(page.error) == 1
    assert page.session_state[thread.RUN] == finished_run.id
    assert chart(page)["training"] == [row["step"] for row in finished_run.metrics()[0] if row["train_loss"]]


def test_a_queued_run_says_so_and_cancel_asks_it_to_stop(page: AppTest) -> None:
    train(page)
    assert any(caption.value.endswith(" queued") for caption in page.caption)
    page.button("training_cancel").click().run()
    page.run()  # AppTest reruns the whole page where a browser reruns the fragment alone
    assert not page.exception
    assert runs()[0].was_asked_to_stop
    assert page.button("training_cancel").label == "Stopping"
    assert page.button("training_cancel").disabled


def test_a_finished_run_shows_every_point_and_its_last_numbers(curves: Open, finished_run: Run, chart: Chart) -> None:
    page = curves(finished_run)
    rows, _ = finished_run.metrics()
    last = [row for row in rows if row["train_loss"] is not None][-1]
    assert any(f"done · step {len(rows)} of {len(rows)}" in caption.value for caption in page.caption)
    assert chart(page)["each batch"] == [row["step"] for row in rows]
    said = next(chart for chart in page.get("plotly_chart") if chart.key == "training_curves").proto.alt
    assert f"after step {last['step']} the training loss is {last['train_loss']:.2f}" in said
    assert f"the validation loss {last['val_loss']:.2f} nats a token" in said
    assert f"best at step {finished_run.status['best']['step']}." in said
    assert not any(toggle.key == "training_live" for toggle in page.toggle)


@pytest.mark.parametrize("axis", ["tokens_seen", "epochs_read"])
def test_the_axis_counts_what_was_chosen(curves: Open, finished_run: Run, axis: str, chart: Chart) -> None:
    page = curves(finished_run)
    page.segmented_control("training_axis").set_value(axis).run()
    assert chart(page)["each batch"] == pytest.approx(resources.metrics(finished_run)[axis].tolist())


def test_the_epochs_read_grow_with_every_batch(finished_run: Run) -> None:
    per_epoch = finished_run.status["batches_per_epoch"]
    rows = resources.metrics(finished_run)
    assert rows["epochs_read"].tolist() == pytest.approx([(step + 1) / per_epoch for step in range(len(rows))])


def test_a_failed_run_says_why(lesson: Open, finished_run: Run, refusals: Refusals) -> None:
    finished_run.update_status(state="failed", reason="diverged at step 3; learning rate 10: choose a smaller one")
    page = lesson("training", **{thread.RUN: finished_run.id})
    assert refusals(page) == ["This run failed: diverged at step 3; learning rate 10: choose a smaller one."]


def test_a_run_that_was_deleted_gives_way_to_the_recorded_one(lesson: Open) -> None:
    page = lesson("training", **{thread.RUN: "0123456789abcdef"})
    assert not page.exception
    assert any(" recorded · step " in caption.value for caption in page.caption)


def test_a_minimum_above_the_peak_is_warned_of_and_trained_as_it_stands(page: AppTest) -> None:
    assert page.warning.len == 0
    page.number_input("training_lr_class").set_value(0.00002).run()
    assert page.warning[0].value.startswith("The cosine ends at 0.0001, above its peak of 2e-05")
    train(page)
    assert (runs()[0].train_config.lr, runs()[0].train_config.min_lr) == (0.00002, 0.0001)


def test_the_schedule_is_drawn_as_it_will_run(page: AppTest, drawn: Callable[..., list[dict[str, Any]]]) -> None:
    page.number_input("training_warmup_steps_class").set_value(30).run()
    (line,) = drawn(page, "training_schedule")
    config = replace(TRAIN_PRESETS["class"], warmup_steps=30)
    assert (line["x"][0], line["x"][-1]) == (0, 299)
    assert line["y"] == pytest.approx([learning_rate(step, 300, config) for step in line["x"]])


def test_a_part_of_the_text_is_trained_on_and_judged_by_the_same_validation_part(page: AppTest) -> None:
    page.number_input("training_train_share_class").set_value(0.5).run()
    train(page)
    (run,) = runs()
    half, whole = (
        batches.prepare(run.text, run.model_config, config)
        for config in (run.train_config, replace(run.train_config, train_share=1.0))
    )
    assert len(half.train_ids) == pytest.approx(len(whole.train_ids) / 2, rel=0.02)
    assert half.tokenizer.decode(half.validation_ids.tolist()) == whole.tokenizer.decode(whole.validation_ids.tolist())


def test_a_run_can_be_as_long_as_so_many_epochs(page: AppTest) -> None:
    page.segmented_control("training_unit_class").set_value("epochs").run()
    page.number_input("training_epochs_class").set_value(3).run()
    train(page)
    assert (runs()[0].train_config.steps, runs()[0].train_config.epochs) == (None, 3)


def test_context_and_dropout_belong_to_the_model_that_is_trained(page: AppTest) -> None:
    page.number_input("training_context_length_class").set_value(16).run()
    page.number_input("training_drop_rate_class").set_value(0.25).run()
    train(page)
    assert runs()[0].model_config == replace(MODEL_PRESETS["class"], context_length=16, drop_rate=0.25)


def test_the_model_chosen_on_the_parameters_page_is_the_one_that_is_trained(page: AppTest) -> None:
    page.switch_page("pages/parameters.py").run()
    page.number_input("parameters_n_layers").set_value(3).run()
    page.selectbox("parameters_preset").select("harry-potter").run()
    page.number_input("parameters_n_layers").set_value(3).run()
    page.button("parameters_go_on").click().run()
    page.switch_page("pages/training.py").run()
    train(page)
    assert runs()[0].model_config == replace(MODEL_PRESETS["harry-potter"], n_layers=3)


def test_a_context_set_for_a_preset_does_not_linger_in_the_threads_own_model(lesson: Open) -> None:
    page = lesson("training")
    page.selectbox("training_preset").select("harry-potter").run()
    page.number_input("training_context_length_harry-potter").set_value(16).run()
    for context in (48, 40):
        page.session_state[thread.PRESET] = replace(MODEL_PRESETS["harry-potter"], context_length=context)
        page.selectbox("training_preset").select(choices.MY_MODEL).run()
        train(page)
        assert runs()[-1].model_config.context_length == context


def test_a_page_loaded_anew_finds_its_run_by_its_address(lesson: Open, finished_run: Run) -> None:
    page = lesson("training", **{thread.RUN: finished_run.id})
    assert page.query_params["run"] == finished_run.id
    again = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60)
    again.query_params["run"] = finished_run.id
    again.run()
    assert again.session_state[thread.RUN] == finished_run.id


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "0" * 16, "", "<script>alert(1)</script>"])
def test_an_unknown_run_in_the_address_leaves_the_recorded_one(hostile: str) -> None:
    page = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60)
    page.query_params["run"] = hostile
    page.run()
    assert not page.exception
    assert thread.RUN not in page.session_state


# ---------------------------------------------------------------------------------------------------------- whose it is


TOKEN, OTHER = "a" * 32, "b" * 32


def queued_by(token: str) -> Run:
    return RunStore(runs_home()).create(
        load_text(OWN_STORY), MODEL_PRESETS["class"], TRAIN_PRESETS["class"], owner=owner_of(token)
    )


def labels(page: AppTest) -> set[str | None]:
    return {button.key for button in page.button}


def test_a_run_belongs_to_the_browser_that_started_it_and_its_token_is_nowhere(lesson: Open, data_home: Path) -> None:
    page = lesson("training", **{owner.BROWSER: TOKEN})
    train(page)
    (run,) = runs()
    assert run.config["owner"] == owner_of(TOKEN)
    files = [path for path in data_home.rglob("*") if path.is_file()]
    assert all(TOKEN not in str(path) and TOKEN.encode() not in path.read_bytes() for path in files)
    assert TOKEN not in str(page.query_params)


def test_the_owner_may_cancel_and_another_may_only_watch(lesson: Open) -> None:
    run = queued_by(TOKEN)
    mine = lesson("training", **{owner.BROWSER: TOKEN, thread.RUN: run.id})
    assert "training_cancel" in labels(mine)
    theirs = lesson("training", **{owner.BROWSER: OTHER, thread.RUN: run.id})
    assert "training_cancel" not in labels(theirs)
    assert any("somebody else's run: you may watch it" in caption.value for caption in theirs.caption)


def test_a_request_is_refused_where_the_owner_has_changed_since_the_page_was_drawn(
    lesson: Open, refusals: Refusals
) -> None:
    run = queued_by(TOKEN)
    page = lesson("training", **{owner.BROWSER: TOKEN, thread.RUN: run.id})
    page.session_state[owner.BROWSER] = OTHER
    page.button("training_cancel").click().run()
    assert not page.exception
    assert not run.was_asked_to_stop
    assert refusals(page) == ["This run is somebody else's: it can be watched, not changed."]


def test_an_ended_run_can_go_on_or_be_deleted_by_its_owner(lesson: Open) -> None:
    run = queued_by(TOKEN)
    run.update_status(state="cancelled", can_go_on=True, seconds=30.0)
    page = lesson("training", **{owner.BROWSER: TOKEN, thread.RUN: run.id})
    page.button("training_go_on").click().run()
    assert run.status["state"] == "queued"
    assert run.train_config.max_minutes == TRAIN_PRESETS["class"].max_minutes + 0.5  # type: ignore[operator]
    run.update_status(state="done", can_go_on=False)
    page = lesson("training", **{owner.BROWSER: TOKEN, thread.RUN: run.id})
    assert "training_go_on" not in labels(page)
    page.button("training_delete").click().run()
    page.run()
    assert runs() == []
    assert not page.exception
    assert page.warning.len == 0
    assert thread.RUN not in page.session_state


@pytest.mark.parametrize(("most", "then"), [(12.0, 12.0), (10.0, None)])
def test_a_run_goes_on_only_for_as_long_as_the_class_allows(
    most: float, then: float | None, lesson: Open, refusals: Refusals
) -> None:
    run = queued_by(TOKEN)
    run.update_status(state="failed", can_go_on=True, seconds=600.1)
    held = {teaching.FROM_LINK: teaching.Levers(most_minutes=most)}
    page = lesson("training", **{owner.BROWSER: TOKEN, thread.RUN: run.id, **held})
    page.button("training_go_on").click().run()
    assert not page.exception
    if then is None:
        assert refusals(page) == ["This run has trained for 10 minutes, and in this class at most 10 are allowed."]
        assert run.status["state"] == "failed"
    else:
        assert (run.status["state"], run.train_config.max_minutes) == ("queued", then)


def test_ones_own_runs_can_be_told_apart_and_returned_to(lesson: Open) -> None:
    first, _, third = queued_by(TOKEN), queued_by(OTHER), queued_by(TOKEN)
    page = lesson("training", **{owner.BROWSER: TOKEN, thread.RUN: third.id})
    assert page.selectbox("own_run").options == ["Run 1, queued", "Run 2, queued"]
    assert page.selectbox("own_run").value == third.id
    page.selectbox("own_run").select(first.id).run()
    assert page.session_state[thread.RUN] == first.id


def test_the_sixth_waiting_run_is_refused_in_a_sentence(page: AppTest, refusals: Refusals) -> None:
    for _ in range(6):
        train(page)
    assert len(runs()) == 5
    assert refusals(page) == ["5 of your runs are waiting already: cancel one, or wait until one has started."]


# ---------------------------------------------------------------------------------------------------- while it goes on


def test_while_a_run_waits_its_place_is_told_and_the_recorded_run_plays(
    page: AppTest, data_home: Path, drawn: Callable[..., list[dict[str, Any]]]
) -> None:
    train(page)
    (run,) = runs()
    rows = [{"run": "f" * 16, "seconds": 0.0}, {"run": run.id, "seconds": 41.7}]
    replace_json(data_home / "runs" / queue.QUEUE_FILE, rows)
    page.run()
    assert any("queued · place 2 of 2 in the queue, about 42 s to wait" in caption.value for caption in page.caption)
    rows[1] |= {"memory": 1_400 * 2**20}
    replace_json(data_home / "runs" / queue.QUEUE_FILE, rows)
    page.run()
    told = "place 2 of 2 in the queue, it waits until 1,400 MiB of memory are free, about 42 s to wait"
    assert any(told in caption.value for caption in page.caption)
    assert "Meanwhile, a recorded run: 162 million parameters learn The Glass Clock." in captions(page)
    played = f"training_meanwhile_{run.id}"
    before = drawn(page, played)[0]["x"]
    assert drawn(page.run().run(), played)[0]["x"][: len(before) + 1] == [*before, len(before)]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"unsaved_since": 40}, "Not saved since step 40: the disk is full or can't be written."),
        ({"keeps": "best"}, "only its best weights are kept."),
        ({"keeps": "nothing"}, "nothing of it is kept but its curve."),
    ],
)
def test_what_is_not_saved_is_said(lesson: Open, finished_run: Run, status: dict[str, Any], said: str) -> None:
    finished_run.update_status(**status)
    page = lesson("training", **{thread.RUN: finished_run.id})
    assert any(warning.value.endswith(said) for warning in page.warning)


def with_losses(run: Run, training: list[float], validation: list[float], state: str) -> Run:
    """The run as if its evaluations had come out so."""
    rows = run.metrics()[0]
    evaluated = [row for row in rows if row["val_loss"] is not None]
    for row, train_loss, val_loss in zip(evaluated, training, validation, strict=True):
        row |= {"train_loss": train_loss, "val_loss": val_loss}
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run.update_status(state=state)
    return run


@pytest.mark.parametrize(
    ("state", "validation", "said"),
    [
        (
            "done",
            [5.0, 4.0, 4.1, 5.0],
            "The best validation loss is 4.00, at step 2: what the model learnt after that,",
        ),
        ("done", [5.0, 4.0, 4.1, 4.01], "The best validation loss is 4.00, at step 2; whether a rise since then means"),
        ("running", [5.0, 4.0, 4.1, 5.0], "The best validation loss so far is 4.00, at step 2; whether a rise since"),
        ("done", [5.0, 4.5, 4.2, 4.0], "The validation loss tells how well the model guesses text that it never"),
    ],
)
def test_what_came_after_the_best_step_is_judged_only_at_the_end_and_by_the_rule(
    lesson: Open, finished_run: Run, state: str, validation: list[float], said: str
) -> None:
    run = with_losses(finished_run, [5.0, 4.0, 3.0, 2.0], validation, state)
    page = lesson("training", **{thread.RUN: run.id})
    assert not page.exception
    prose = " ".join(text.value for text in page.markdown)
    assert said in prose
    assert ("this text alone" in prose) == ("what the model learnt" in said)


@pytest.mark.parametrize("stride", [None, 4, 100])
def test_how_often_a_token_is_guessed_counts_tokens_not_epochs(page: AppTest, stride: int | None) -> None:
    page.number_input("training_stride_class").set_value(stride).run()
    model, config = MODEL_PRESETS["class"], replace(TRAIN_PRESETS["class"], stride=stride)
    tokens = len(batches.prepare(load_text(OWN_STORY), model, config).train_ids)
    guesses = 300 * config.batch_size * model.context_length
    assert any(f"guesses each training token about {guesses / tokens:.1f} times." in said for said in captions(page))


def test_a_run_that_stops_says_so_before_it_has_stopped(lesson: Open, finished_run: Run) -> None:
    finished_run.update_status(state="running")
    finished_run.ask_to_stop()
    page = lesson("training", **{thread.RUN: finished_run.id})
    assert any(" stopping · step 6 of 6" in caption.value for caption in page.caption)


def test_a_run_that_is_not_here_is_said_until_another_is_followed(lesson: Open) -> None:
    page = lesson("training", **{thread.RUN: "0123456789abcdef"})
    assert page.warning[0].value.startswith("The run that this page followed is not here (any more).")
    assert page.run().warning.len == 1
    train(page)
    assert page.warning.len == 0


def test_a_run_that_goes_back_to_its_checkpoint_is_read_anew(finished_run: Run) -> None:
    path = finished_run.folder / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(resources.metrics(finished_run)) == 6
    path.write_bytes(b"".join(lines[:2]))
    assert resources.metrics(finished_run)["step"].tolist() == [0, 1]
    path.write_bytes(b"".join(lines[:4]))
    assert resources.metrics(finished_run)["step"].tolist() == [0, 1, 2, 3]
    longer = [line.replace(b'"seconds": ', b'"seconds": 1') for line in lines]  # cut and grown past where we stood
    path.write_bytes(b"".join(longer))
    assert resources.metrics(finished_run)["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert resources.metrics(finished_run)["seconds"].min() > 1


def test_cleared_caches_lose_nothing(curves: Open, finished_run: Run, chart: Chart) -> None:
    page = curves(finished_run)
    before = chart(page)
    st.cache_data.clear()
    st.cache_resource.clear()
    page.run()
    assert not page.exception
    assert chart(page) == before


def test_gradient_and_rate_are_drawn_below_the_losses_when_asked_for(
    curves: Open, finished_run: Run, drawn: Callable[..., list[dict[str, Any]]]
) -> None:
    page = curves(finished_run)
    assert {line.get("yaxis") for line in drawn(page, "training_curves")} == {None}
    page.toggle("training_panels").set_value(True).run()
    below = {line["yaxis"]: line["y"] for line in drawn(page, "training_curves") if line.get("yaxis")}
    rows = resources.metrics(finished_run)
    assert below["y2"] == pytest.approx(rows["grad_norm"].tolist(), rel=1e-6)
    assert below["y3"] == pytest.approx(rows["lr"].tolist(), rel=1e-6)


def layout(page: AppTest) -> dict[str, Any]:
    chart = next(chart for chart in page.get("plotly_chart") if chart.key == "training_curves")
    return json.loads(chart.proto.spec)["layout"]


def test_what_the_first_update_brought_is_written_beside_it(curves: Open, finished_run: Run) -> None:
    before, after = finished_run.status["untrained"]["train_loss"], finished_run.metrics()[0][0]["train_loss"]
    notes = [note["text"] for note in layout(curves(finished_run))["annotations"]]
    assert f"one update: {before:.2f} → {after:.2f}" in notes


def test_samples_are_stamped_with_the_phase_of_the_run(curves: Open, finished_run: Run) -> None:
    page = curves(finished_run)
    assert "step" not in [column for table in page.dataframe for column in table.value.columns]  # the box is closed
    page.session_state["training_said"] = True
    page.run()
    looks = replay.points(replay.curve(finished_run))
    levels = list(resources.reference_lines(finished_run.text.text, finished_run.train_config).values())
    stamped = page.dataframe[0].value
    phases = [phase([look for look in looks if look.step <= step], levels) for step in stamped["step"]]
    assert stamped["phase"].tolist() == phases
    assert any(f"after step 5 ({phases[-1]})" in caption.value for caption in page.caption)


def test_the_published_run_is_drawn_beside_one_with_the_books_settings_and_no_other(
    curves: Open, finished_run: Run, chart: Chart
) -> None:
    assert not any("published" in name for name in chart(curves(finished_run)))
    path = finished_run.folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"model": to_json(MODEL_PRESETS["book-124m"]), "training": to_json(TRAIN_PRESETS["book-124m"])}
    config["text"]["key"] = "the-verdict"
    replace_json(path, config)
    page = curves(finished_run)
    assert chart(page)["published, validation"] == list(range(0, 90, 5))
    page.segmented_control("training_axis").set_value("tokens_seen").run()
    of_a_step = finished_run.metrics()[0][0]["tokens_seen"]
    assert chart(page)["published, training"] == [(step + 1) * of_a_step for step in range(0, 90, 5)]
