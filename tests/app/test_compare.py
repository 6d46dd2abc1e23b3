"""Compare: what is laid side by side is what gptcore says of the runs, and a run can be repeated and begun from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from gptcore import recordings
from gptcore.baselines import uniform_loss
from gptcore.comparison import MOST_RUNS, Compared, differences, in_words, results, same_run
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig, to_json
from gptcore.corpora import OWN_STORY, Text, load_text
from gptcore.estimate import machine_speed, run_seconds
from gptcore.machine import cores
from gptcore.paths import runs_home
from gptcore.runs.requests import MOST_WAITING
from gptcore.runs.store import Run, RunStore, owner_of
from gptcore.runs.worker import execute
from pages._ui import compared, frame, owner, resources, side_by_side, thread
from tests.tiny import stop_at

Open = Callable[..., AppTest]
Make = Callable[..., Run]
Drawn = Callable[..., list[dict[str, Any]]]
Refusals = Callable[[AppTest], list[str]]
TOKEN, OTHER = "a" * 32, "b" * 32
MODEL = MODEL_PRESETS["class"]
TINY = replace(TRAIN_PRESETS["class"], steps=6, eval_every=2, eval_batches=1, sample_tokens=2)
BOOK = thread.RECORDED_RUN.name
HOSTILE = "=HYPERLINK(<b>$x$</b>) :red[x]"


@pytest.fixture
def make(data_home: Path) -> Make:
    """A tiny run of the student, trained here and done unless it is to wait."""

    def made(token: str = TOKEN, text: Text | None = None, *, wait: bool = False, **changes: Any) -> Run:
        training = replace(TINY, **changes)
        run = RunStore(runs_home()).create(text or load_text(OWN_STORY), MODEL, training, owner=owner_of(token))
        assert wait or execute(run) == "done"
        return run

    return made


@pytest.fixture
def opened(lesson: Open) -> Callable[..., AppTest]:
    """The lesson, with a run as the thread's where one is given."""

    def go(run: Run | None = None) -> AppTest:
        page = lesson("compare", **{owner.BROWSER: TOKEN}, **({thread.RUN: run.id} if run else {}))
        assert not page.exception
        return page

    return go


def runs() -> list[Run]:
    return list(RunStore(runs_home()))


def offered(*keys: str, mine: dict[int, Run] | None = None) -> list[Compared]:
    """What the page compares: recorded curves by their names, and runs by their numbers."""
    own = [compared.Offer(f"run {number}", run) for number, run in (mine or {}).items()]
    curves = [recordings.load(key) for key in keys]
    recorded = [compared.Offer(f"{curve.plan.title} (recorded)", curve) for curve in curves]
    return compared.side_by_side([*own, *recorded])


def tables(page: AppTest) -> dict[str, pd.DataFrame]:
    """The tables on screen: a table has no key for a test, so each is known by what it holds."""
    shown = [frame.value for frame in page.dataframe]
    names = ["results" if "run" in one else "circumstances" if "PyTorch" in one.index else "settings" for one in shown]
    return dict(zip(names, shown, strict=True))


def prose(page: AppTest) -> str:
    return " ".join(each.value for each in [*page.markdown, *page.caption, *page.warning, *page.text, *page.info])


def curves(page: AppTest, drawn: Drawn) -> dict[tuple[str, str], dict[str, Any]]:
    """The lines of the figure by name and dash; those that only explain the key are left out."""
    return {
        (line["name"], line["line"]["dash"]): line for line in drawn(page, "compare_curves") if "legendgroup" in line
    }


def start_from(page: AppTest, name: str) -> AppTest:
    """Take a run's settings to the training lesson; AppTest follows a switch of the page only when it is told to."""
    page.selectbox("compare_start_run").select(name).run()
    page.button("compare_start").click().run()
    assert page.header[0].value == "What happens while a model learns?"
    return page.switch_page(frame.page_file("training")).run()


def choose(page: AppTest, *keys: str) -> AppTest:
    return page.multiselect(compared.CHOSEN).set_value(list(keys)).run()


# ------------------------------------------------------------------------------------------------------------ at a look


def test_before_anything_is_trained_three_recorded_seeds_are_drawn_as_they_were_recorded(
    opened: Callable[..., AppTest], drawn: Drawn
) -> None:
    lines = curves(opened(), drawn)
    assert len(lines) == 6
    for seed in (123, 124, 125):
        rows = recordings.load(f"seed-{seed}").metrics.dropna(subset="train_loss")
        for column, dash in (("train_loss", "solid"), ("val_loss", "dash")):
            line = lines[f"seed {seed} (recorded)", dash]
            assert line["x"] == rows["step"].tolist()
            assert line["y"] == rows[column].tolist()


def test_the_tables_are_those_of_gptcore(opened: Callable[..., AppTest]) -> None:
    page = opened()
    expected = offered("seed-123", "seed-124", "seed-125")
    shown = tables(page)["results"]
    pd.testing.assert_frame_equal(shown, results(expected)[shown.columns], check_dtype=False)
    assert set(results(expected).columns) - set(shown.columns) == {"seconds", "tokens_a_second"}  # not recorded
    settings = tables(page)["settings"]
    assert settings.index.tolist() == ["Seed"]
    assert settings.loc["Seed"].to_dict() == {run.name: str(run.training.seed) for run in expected}


def test_what_is_noticed_is_the_one_setting_and_the_distance_of_the_best_moments(
    opened: Callable[..., AppTest],
) -> None:
    said = prose(opened()).replace("\\", "")
    bests = results(offered("seed-123", "seed-124", "seed-125")).sort_values("best_validation")
    first, last = bests.iloc[0], bests.iloc[-1]
    assert "They differ in their seed alone" in said
    assert f"Best of all is {first['run']}, with a validation loss of {first['best_validation']:.3f}" in said
    assert f"{last['best_validation'] - first['best_validation']:.3f} nats worse" in said


def test_ones_own_runs_come_first_with_their_numbers(opened: Callable[..., AppTest], make: Make, drawn: Drawn) -> None:
    first, second = make(), make(lr=0.01)
    page = opened(second)
    assert page.multiselect(compared.CHOSEN).value == [first.id, second.id]
    assert page.multiselect(compared.CHOSEN).options[:2] == [f"run {n} · The Glass Clock (our ow…" for n in (1, 2)]
    lines = curves(page, drawn)
    for number, run in ((1, first), (2, second)):
        rows = [row for row in run.metrics()[0] if row["train_loss"] is not None]
        assert lines[f"run {number}", "solid"]["y"] == [row["train_loss"] for row in rows]
        assert lines[f"run {number}", "dash"]["y"] == [row["val_loss"] for row in rows]
    expected = offered(mine={1: first, 2: second})
    assert tables(page)["results"]["seconds"].tolist() == results(expected)["seconds"].tolist()
    assert tables(page)["settings"].to_dict("index") == {"Learning rate": {"run 1": "0.005", "run 2": "0.01"}}
    assert "They differ in one setting alone, learning rate" in prose(page)


def test_one_run_alone_stands_beside_a_recorded_one(opened: Callable[..., AppTest], make: Make) -> None:
    run = make()
    page = opened(run)
    assert page.multiselect(compared.CHOSEN).value == [run.id, "curve seed-123"]
    expected = differences(offered("seed-123", mine={1: run}))
    assert tables(page)["settings"].index.tolist() == [side_by_side.label(str(name)) for name in expected.index]


def test_several_settings_that_differ_are_a_warning_against_conclusions(
    opened: Callable[..., AppTest], make: Make
) -> None:
    make()
    page = opened(make(lr=0.01, seed=7, compact_vocab=False))
    assert "They differ in 3 settings: no curve tells" in prose(page)
    assert tables(page)["settings"].loc["Vocabulary"].tolist()[1] == "50,257"


# ---------------------------------------------------------------------------------------------------- the controls


@pytest.mark.parametrize(("shown", "dashes"), [("training", {"solid"}), ("validation", {"dash"})])
def test_one_kind_of_curve_can_be_shown_alone(
    opened: Callable[..., AppTest], drawn: Drawn, shown: str, dashes: set[str]
) -> None:
    page = opened()
    page.segmented_control("compare_shown").set_value(shown).run()
    lines = curves(page, drawn)
    assert {dash for _, dash in lines} == dashes
    assert len(lines) == 3


@pytest.mark.parametrize("axis", ["step", "tokens_seen", "epochs_read", "seconds"])
def test_the_axis_counts_what_was_chosen(opened: Callable[..., AppTest], make: Make, drawn: Drawn, axis: str) -> None:
    run = make()
    page = opened(run)
    page.segmented_control("compare_axis").set_value(axis).run()
    rows = resources.metrics(run).dropna(subset="train_loss")
    lines = curves(page, drawn)
    assert lines["run 1", "solid"]["x"] == pytest.approx(rows[axis].tolist())
    recorded = lines["seed 123 (recorded)", "solid"]["x"]
    if axis == "seconds":
        assert recorded == []
        assert "no times were recorded: seed 123 (recorded)" in prose(page)
    else:
        assert recorded[-1] == {"step": 299, "tokens_seen": 76_800, "epochs_read": pytest.approx(300 / 18)}[axis]


def test_the_runs_that_are_chosen_are_the_ones_that_are_drawn(opened: Callable[..., AppTest], drawn: Drawn) -> None:
    page = choose(opened(), "curve seed-127", BOOK)
    assert {name for name, _ in curves(page, drawn)} == {"seed 127 (recorded)", "the book's model (recorded)"}
    rows = [row["val_loss"] for row in Run(thread.RECORDED_RUN).metrics()[0] if row["val_loss"] is not None]
    assert curves(page, drawn)["the book's model (recorded)", "dash"]["y"] == rows


def test_the_recorded_small_run_is_the_recorded_seed_123_to_the_digits_that_are_kept(
    opened: Callable[..., AppTest],
) -> None:
    page = choose(opened(), thread.SMALL_RUN.name, "curve seed-123")
    assert "nothing. Every setting, the text and the seed are the same." in prose(page)
    said = "are identical to the digits that the recording keeps in all 300 steps."
    assert said in prose(page)


@pytest.mark.parametrize("name", recordings.names())
def test_every_recorded_curve_can_be_compared_and_its_epochs_are_those_that_were_recorded(name: str) -> None:
    recording = recordings.load(name)
    run = compared.look(compared.Offer("it", recording))
    assert (run.text, run.state) == (load_text(recording.plan.text).title, "recorded")
    read = run.metrics["epochs_read"]
    assert [math.ceil(epochs - 1e-9) - 1 for epochs in read] == recording.metrics["epoch"].tolist()
    assert same_run(run, run).parts_at is None


def test_no_run_chosen_gives_a_sentence(opened: Callable[..., AppTest]) -> None:
    page = choose(opened())
    assert not page.exception
    assert "No run is chosen." in prose(page)
    assert choose(page, "curve seed-123").multiselect(compared.CHOSEN).value == ["curve seed-123"]


def test_losses_of_different_vocabularies_are_said_not_to_compare(opened: Callable[..., AppTest], make: Make) -> None:
    page = choose(opened(make()), BOOK, "curve seed-123")
    size = offered("seed-123")[0].model.vocab_size
    said = prose(page)
    assert "Losses of different vocabularies can't be compared" in said
    assert f"ln {size:,} = {uniform_loss(size):.2f} and ln 50,257 = {uniform_loss(50_257):.2f}" in said
    figure = json.loads(page.get_by_key("compare_curves").proto.spec)["layout"]
    assert [shape["y0"] for shape in figure["shapes"]] == [uniform_loss(size), uniform_loss(50_257)]
    assert "can't be compared" not in prose(choose(page, "curve seed-123", "curve seed-124"))


def test_runs_of_different_texts_are_told_apart_by_their_titles(
    opened: Callable[..., AppTest], make: Make, drawn: Drawn
) -> None:
    make()
    other = make(text=Text("own", "A second text", load_text(OWN_STORY).text[::-1], "A"))
    page = opened(other)
    assert "judged by different validation texts" in prose(page)
    assert "Best of all" not in prose(page)
    assert {name for name, _ in curves(page, drawn)} == {"run 1", "run 2 · A second text"}


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_image_is_saved_as_was_chosen(opened: Callable[..., AppTest], kind: str) -> None:
    page = opened()
    page.segmented_control("compare_image").set_value(kind).run()
    config = json.loads(page.get_by_key("compare_curves").proto.config)
    assert config["toImageButtonOptions"] == {"format": kind, "filename": "runs-compared"}


def test_a_prediction_is_checked_line_by_line(opened: Callable[..., AppTest], make: Make) -> None:
    first, second = make(), make(lr=0.01)
    page = opened(second)
    same = same_run(*offered(mine={1: first, 2: second}))
    page.number_input("compare_run 1_run 2_predict_guess").set_value(same.parts_at)
    page.button("compare_run 1_run 2_predict_check").click().run()
    assert [each.value for each in page.success] == [f"Yes: {same.parts_at}."]
    assert f"Line by line they are {in_words(same)}." in prose(page)


def test_the_downloads_hold_what_is_on_screen(make: Make) -> None:
    run = make()
    offers = [compared.Offer("run 1", run), compared.Offer("seed", recordings.load("seed-123"))]
    lines = compared.curves_file(offers).decode().splitlines()
    losses = [row[name] for row in run.metrics()[0] for name in ("batch_loss", "train_loss", "val_loss")]
    assert sum(line.startswith('"run 1"') for line in lines) == sum(loss is not None for loss in losses)
    tables = pd.read_csv(pd.io.common.BytesIO(compared.tables_file(offers)), index_col=0)
    assert tables.loc["steps"].tolist() == ["6", "300"]
    assert float(tables.loc["best_validation", "run 1"]) == run.status["best"]["val_loss"]


def test_both_files_and_the_start_are_offered(opened: Callable[..., AppTest]) -> None:
    page = opened()
    assert {button.label for button in page.get("download_button")} == {"The curves (CSV)", "Both tables (CSV)"}
    assert page.selectbox("compare_start_run").options == [f"seed {seed} (recorded)" for seed in (123, 124, 125)]


# ------------------------------------------------------------------------------------------------- start from a run


EVERYTHING = replace(
    MODEL, vocab_size=60_000, context_length=16, emb_dim=24, n_heads=2, n_layers=1, drop_rate=0.25, qkv_bias=True
)
FIRST = TrainConfig(
    batch_size=3,
    lr=0.00123,
    weight_decay=0.02,
    epochs=3,
    steps=7,
    optimiser="sgd",
    warmup_steps=2,
    min_lr=1e-5,
    grad_clip=0.5,
    train_fraction=0.8,
    train_share=0.7,
    sealed_fraction=0.1,
    stride=16,
    eval_every=3,
    eval_batches=2,
    sample_at="evaluation",
    sample_prompt="The",
    sample_tokens=3,
    compact_vocab=True,
    precision="bfloat16",
    threads=1,
    max_minutes=2.5,
    seed=99,
)
SECOND = TrainConfig(lr=20.0, epochs=2, end_of_text=True, reference=True, seed=2**53 + 5, threads=3)
THIRD = TrainConfig(steps=60, range_from=1e-5, lr=0.1, variant="one-batch", threads=1)
FOURTH = TrainConfig(steps=60, sampled_vocab=64, threads=1)
STARTS = [
    (EVERYTHING, FIRST),
    (replace(EVERYTHING, qkv_bias=False, tie_weights=True), SECOND),
    (MODEL_PRESETS["class"], THIRD),
    (MODEL_PRESETS["class"], FOURTH),
]


def test_the_settings_below_leave_no_field_at_its_default() -> None:
    for kind, configs in ((GPTConfig, [model for model, _ in STARTS]), (TrainConfig, [FIRST, SECOND, THIRD, FOURTH])):
        for each in fields(kind):
            assert any(getattr(config, each.name) != each.default for config in configs), each.name


@pytest.mark.parametrize(("model", "training"), STARTS)
def test_every_setting_of_a_run_arrives_in_the_training_lesson(
    opened: Callable[..., AppTest], model: GPTConfig, training: TrainConfig
) -> None:
    text = Text("own", "A second text", load_text(OWN_STORY).text[:6_000], "A")
    source = RunStore(runs_home()).create(text, model, training, owner=owner_of(TOKEN))
    page = opened(source)
    page.session_state[thread.TEXT] = load_text(OWN_STORY)
    start_from(page, "run 1")
    assert not page.exception
    assert page.selectbox("training_preset").value == "the settings of run 1"
    page.button("training_start").click().run()
    assert not page.error
    new = runs()[-1]
    assert new != source
    assert to_json(new.model_config) == to_json(model)
    assert to_json(new.train_config) == to_json(training)
    assert new.text == text


def test_settings_taken_a_second_time_come_without_what_was_changed_since(
    opened: Callable[..., AppTest], make: Make
) -> None:
    page = opened(make(wait=True, seed=41))
    for changed in (False, True):
        start_from(page, "run 1")
        seed = next(box for box in page.number_input if box.label == "Seed")
        assert seed.value == 41
        if not changed:
            seed.set_value(7).run()
            page.switch_page(frame.page_file("compare")).run()


def test_a_recorded_curve_can_be_trained_anew(opened: Callable[..., AppTest]) -> None:
    page = opened()
    start_from(page, "seed 125 (recorded)")
    page.button("training_start").click().run()
    (run,) = runs()
    plan = recordings.load("seed-125").plan
    assert (run.model_config, run.train_config, run.text.key) == (plan.model, plan.training, plan.text)


# -------------------------------------------------------------------------------------------------------- run it again


def test_a_run_is_repeated_as_it_was_and_found_identical(
    opened: Callable[..., AppTest], make: Make, drawn: Drawn
) -> None:
    first = make(threads=1)
    make(seed=7)  # another recipe: no repetition
    page = opened(first)
    assert "Verdict." not in prose(page)
    page.button("compare_again").click().run()
    assert not page.exception
    again = runs()[-1]
    assert (again.train_config, again.model_config, again.text) == (first.train_config, first.model_config, first.text)
    assert again.config["owner"] == owner_of(TOKEN)
    assert page.session_state[thread.RUN] == first.id
    assert "Run 3 repeats it: queued, 0 updates done." in prose(page)
    assert "compare_again" not in {button.key for button in page.button}
    assert execute(again) == "done"
    page.run()
    page.run()  # AppTest reruns the whole page where a browser reruns the fragment alone
    assert "**Verdict.** Run 1 and run 3 are **identical to the last bit in all 6 steps**." in prose(page)
    lines = curves(page, drawn)
    assert lines["run 3", "dash"]["y"] == lines["run 1", "dash"]["y"]
    assert tables(page)["circumstances"].columns.tolist() == ["run 1", "run 3"]


def test_a_run_whose_end_was_moved_is_repeated_as_it_was_begun_and_compared_up_to_there(
    opened: Callable[..., AppTest], make: Make
) -> None:
    first = make(threads=1, steps=4, lr=0.01, min_lr=0.001)
    first.reopen(steps=9)
    assert execute(first) == "done"
    make(threads=1, steps=9, lr=0.01, min_lr=0.001)  # whose rate falls along another line: no repetition
    page = opened(first)
    assert "Verdict." not in prose(page)
    assert "Its end was moved after 4 updates, and where a run ends decides how its rate falls" in prose(page)
    page.button("compare_again").click().run()
    again = runs()[-1]
    assert again.train_config == replace(first.train_config, steps=4)
    assert execute(again) == "done"
    page.run()
    page.run()
    assert "**Verdict.** Run 1 and run 3 are **identical to the last bit in all 4 steps**." in prose(page)


def test_what_a_run_did_beyond_its_moved_end_is_not_held_against_its_repetition(
    opened: Callable[..., AppTest], make: Make
) -> None:
    first, again = (make(wait=True, threads=1, steps=6, lr=0.01, min_lr=0.001) for _ in range(2))
    assert execute(first, stop_at(2, first.ask_to_stop)) == "cancelled"
    first.reopen(steps=12)  # so its fourth update already is another
    assert [execute(run) for run in (first, again)] == ["done", "done"]
    said = prose(opened(first))
    assert "are **identical to the last bit in the 3 steps that both have**" in said
    assert "Compared are its first 3 updates: then its end was moved." in said


def test_where_digits_part_is_said_with_what_differs_around_the_runs(
    opened: Callable[..., AppTest], make: Make
) -> None:
    first, second = make(threads=1), make(threads=1)
    rows, _ = second.metrics()
    rows[3]["batch_loss"] += 2e-7
    (second.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = second.config
    config["versions"] |= {"torch": "9.9", "processor": HOSTILE}
    (second.folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    said = prose(opened(first)).replace("\\", "")
    assert "Run 1 and run 2 are **not identical: they part at step 3, where the batch loss differs by 2e-07." in said
    assert f"What differs around them: pytorch ({first.config['versions']['torch']} and 9.9), processor (" in said
    assert HOSTILE in said


def test_while_a_repetition_runs_its_progress_and_the_verdict_so_far_are_shown(
    opened: Callable[..., AppTest], make: Make
) -> None:
    first, second = make(), make()
    second.update_status(state="running")
    lines = (second.folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (second.folder / "metrics.jsonl").write_bytes(b"".join(lines[:4]))
    page = opened(first)
    said = prose(page)
    assert "Run 2 repeats it: running, 4 updates done." in said
    assert "identical to the last bit in the 4 steps that both have" in said
    assert page.toggle("compare_live").value
    page.toggle("compare_live").set_value(False).run()
    assert not page.exception
    assert tables(page)["results"]["updates"].tolist() == [6, 4]


def test_what_a_repetition_takes_is_said_before_it_is_begun(opened: Callable[..., AppTest]) -> None:
    page = opened()  # the thread's run is the recorded one of 124 million parameters
    recorded = Run(thread.RECORDED_RUN)
    seconds = run_seconds(recorded.model_config, recorded.train_config, recorded.status["total_steps"], machine_speed())
    minutes = recorded.metrics()[0][-1]["seconds"] / 60
    said = prose(page)
    assert f"({seconds:,.0f} s by estimate). The first time took {minutes:,.0f} minutes, on another machine." in said
    assert "each evaluation draws random numbers" in said
    assert f"on {recorded.train_config.threads or cores()} thread" in said
    assert not runs()


def test_the_circumstances_are_those_of_the_run(opened: Callable[..., AppTest], make: Make) -> None:
    run = make(threads=1)
    shown = tables(opened(run))["circumstances"]["run 1"]
    versions = run.config["versions"]
    assert shown.to_dict() == {
        "Seed": "123",
        "Threads": "1",
        "Precision": "float32",
        "Arithmetic": "fast",
        "Python": versions["python"],
        "PyTorch": versions["torch"],
        "Machine": versions["machine"],
        "Processor": versions["processor"][:40],
        "Text's SHA-256": run.text.sha256[:40],
    }


def test_a_repetition_that_the_queue_refuses_is_said_in_a_sentence(
    opened: Callable[..., AppTest], make: Make, refusals: Refusals
) -> None:
    first = make()
    for seed in range(MOST_WAITING):
        make(wait=True, seed=seed)
    page = opened(first)
    page.button("compare_again").click().run()
    assert not page.exception
    assert refusals(page) == [
        f"{MOST_WAITING} of your runs are waiting already: cancel one, or wait until one has started."
    ]
    assert len(runs()) == 1 + MOST_WAITING


def test_a_repetition_that_does_not_fit_this_machine_is_refused_before_it_is_made(
    opened: Callable[..., AppTest], refusals: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened()
    monkeypatch.setattr("gptcore.machine.memory_limit", lambda: 2**20)
    page.button("compare_again").click().run()
    (said,) = refusals(page)
    assert " of 1 MiB: choose a smaller model" in said
    assert runs() == []


# ------------------------------------------------------------------------------------------------------------- faults


def test_a_hostile_title_is_shown_letter_by_letter_in_key_tables_and_files(
    opened: Callable[..., AppTest], make: Make, drawn: Drawn
) -> None:
    make()
    text = Text("own", HOSTILE, load_text(OWN_STORY).text[:9_000], "A")
    other = make(text=text)
    page = opened(other)
    name = f"run 2 · {HOSTILE[:23]}…"
    assert (name.replace("<", "&lt;").replace(">", "&gt;"), "dash") in curves(page, drawn)
    assert tables(page)["results"]["run"].tolist()[1] == name
    assert tables(page)["settings"].loc["Text"].tolist()[1] == HOSTILE
    assert ":red[" not in " ".join(element.value for element in [*page.markdown, *page.caption, *page.warning])
    assert frame.plain(name) in prose(page)
    offers = [compared.Offer("run 1", runs()[0]), compared.Offer("=1+1", other)]
    assert b"\"'=1+1 \xc2\xb7 =HYPERLINK" in compared.curves_file(offers)
    assert f'"\'{HOSTILE}"'.encode() in compared.tables_file(offers)


def test_a_title_that_is_not_text_is_shown_all_the_same(opened: Callable[..., AppTest], make: Make) -> None:
    run = make(text=Text("own", "bytes \udcff", load_text(OWN_STORY).text[:9_000], "A"))
    page = choose(opened(run), BOOK, run.id)
    assert not page.exception
    assert tables(page)["results"]["run"].tolist()[1] == "run 1 · bytes ?"


def test_a_run_deleted_under_ones_eyes_leaves_the_others(opened: Callable[..., AppTest], make: Make) -> None:
    first, second = make(), make(lr=0.01)
    page = choose(opened(first), second.id, first.id)
    RunStore(runs_home()).delete(second)
    page.run()
    assert not page.exception
    assert page.multiselect(compared.CHOSEN).value == [first.id]
    assert "settings" not in tables(page)
    RunStore(runs_home()).delete(first)
    page.run()
    assert not page.exception
    assert page.multiselect(compared.CHOSEN).value == list(compared.FIRST)


def test_a_run_deleted_while_it_is_looked_at_is_left_out(make: Make) -> None:
    first, second = make(wait=True), make(wait=True)
    offers = [compared.Offer("run 1", first), compared.Offer("run 2", second)]
    RunStore(runs_home()).delete(first)
    assert [run.name for run in compared.side_by_side(offers)] == ["run 2"]
    assert b"run 1" not in compared.tables_file(offers)


def test_of_six_runs_five_are_compared(opened: Callable[..., AppTest], make: Make) -> None:
    made = [make(wait=True, seed=seed) for seed in range(7)]
    page = opened(made[0])
    assert page.multiselect(compared.CHOSEN).value == [run.id for run in made[-MOST_RUNS:]]
    page.session_state[compared.CHOSEN] = [run.id for run in made[:6]]
    page.run()
    assert not page.exception
    assert page.multiselect(compared.CHOSEN).value == [run.id for run in made[:5]]
    assert tables(page)["results"]["state"].tolist() == ["queued"] * 5


def test_runs_without_a_single_step_give_no_fault(opened: Callable[..., AppTest], make: Make) -> None:
    page = opened(make(wait=True))
    assert not page.exception
    shown = tables(page)["results"]
    assert pd.isna(shown.loc[0, "best_validation"])
    assert page.button("compare_again").disabled
    assert "It can be run again once it has ended." in prose(page)


def test_somebody_elses_run_is_on_offer_only_by_its_address_and_is_never_changed(
    opened: Callable[..., AppTest], make: Make
) -> None:
    theirs = make(OTHER)
    assert theirs.id not in compared_keys(opened())
    before = {path: path.read_bytes() for path in theirs.folder.rglob("*") if path.is_file()}
    page = opened(theirs)
    assert page.multiselect(compared.CHOSEN).value == [theirs.id, "curve seed-123"]
    assert page.multiselect(compared.CHOSEN).options[0].startswith("watched run · ")
    page.button("compare_again").click().run()
    assert not page.exception
    mine = runs()[-1]
    assert mine.config["owner"] == owner_of(TOKEN)
    assert {path: path.read_bytes() for path in theirs.folder.rglob("*") if path.is_file()} == before


def test_ones_own_runs_are_offered_once_the_browser_is_known_and_not_over_a_choice(lesson: Open, make: Make) -> None:
    runs_made = [make(wait=True, seed=seed) for seed in (1, 2)]
    page = lesson("compare")  # as on a first request: the browser has not said yet who it is
    assert page.multiselect(compared.CHOSEN).value == list(compared.FIRST)
    page.session_state[owner.BROWSER] = TOKEN
    page.run()
    assert page.multiselect(compared.CHOSEN).value == [run.id for run in runs_made]
    choose(page, "curve seed-127")
    make(wait=True, seed=3)
    assert page.run().multiselect(compared.CHOSEN).value == ["curve seed-127"]


def compared_keys(page: AppTest) -> set[str]:
    return set(page.multiselect(compared.CHOSEN).value)


def test_a_run_that_the_thread_went_on_with_joins_the_comparison(opened: Callable[..., AppTest], make: Make) -> None:
    first, second, third = (make(wait=True, seed=seed) for seed in (1, 2, 3))
    page = choose(opened(first), first.id, second.id)
    page.session_state[thread.RUN] = third.id
    page.run()
    assert page.multiselect(compared.CHOSEN).value == [third.id, first.id, second.id]
