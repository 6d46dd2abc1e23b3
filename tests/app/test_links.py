"""A lesson as a link: every control is declared, and a link opened by somebody else shows the same numbers."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import read_bytes
from gptcore.paths import runs_home
from gptcore.runs.store import Run, RunStore
from pages._ui import controls, frame, head, resources, thread

APP = Path(__file__).resolve().parents[2] / "app.py"
SECONDS = 60
WIDGETS = (
    "slider",
    "select_slider",
    "selectbox",
    "multiselect",
    "text_input",
    "text_area",
    "number_input",
    "toggle",
    "checkbox",
    "radio",
    "button_group",
    "file_uploader",
)
CALLS = {*WIDGETS, "pills", "segmented_control"}
PROSE = ("markdown", "caption", "text", "metric", "code", "warning", "info", "success", "table", "error")
Open = Callable[..., AppTest]


def follow(key: str, said: Mapping[str, str]) -> AppTest:
    """Opens a link in a new visit."""
    app = AppTest.from_file(APP, default_timeout=SECONDS).run()
    for name, value in said.items():
        app.query_params[name] = value
    return app.switch_page(frame.page_file(key)).run()


def link_of(page: AppTest) -> dict[str, str]:
    """The link that a lesson offers, read where a student reads it."""
    page.session_state[head.CODE] = True
    page.run()
    link = next(code.value for code in page.code if "?v=" in code.value)
    page.session_state[head.CODE] = False
    page.run()
    return dict(parse_qsl(urlsplit(link).query, keep_blank_values=True))


MOMENT = re.compile(r"[\d,]+ a second|[\d,]+ MiB are free")  # what this machine has and does at the moment


def shown(page: AppTest) -> dict[str, Any]:
    """Every number on screen: in prose, in tables, in charts and in our own components."""
    seen: dict[str, Any] = {kind: [MOMENT.sub("", str(each.value)) for each in page.get(kind)] for kind in PROSE}
    seen["controls"] = {each.key: each.value for kind in WIDGETS for each in page.get(kind)}
    seen["charts"] = {chart.key: chart.proto.spec for chart in page.get("plotly_chart")}
    seen["tables"] = [each.value.to_csv() for each in page.dataframe]
    seen["components"] = [
        re.sub(rb'"taken": \d+', b"", each.proto.SerializeToString())  # how often examples were clicked
        for each in page.get("bidi_component")
        if "share_copy" not in str(each.proto.id)
    ]
    seen["links"] = [each.label for each in page.get("page_link")]
    return seen


def moved(key: str, page: AppTest, **values: Any) -> AppTest:
    """Moves controls as a student does, one after another."""
    for name, value in values.items():
        widget = next(each for kind in WIDGETS for each in page.get(kind) if each.key == name)
        widget.set_value(value).run()
    assert not page.exception
    return page


@pytest.mark.parametrize("about", frame.LESSONS, ids=attrgetter("key"))
def test_every_control_is_shared_or_private_for_a_reason(about: frame.Lesson, lesson: Open) -> None:
    page = lesson(about.key)
    keys = {widget.key for kind in WIDGETS for widget in page.get(kind)}
    unknown = {key for key in keys if not controls.find(about.key, key) and not controls.why_private(key)}
    both = {key for key in keys if controls.find(about.key, key) and controls.why_private(key)}
    assert (unknown, both) == (set(), set())


@pytest.mark.parametrize("about", frame.LESSONS, ids=attrgetter("key"))
def test_the_link_of_an_untouched_lesson_holds_little_but_its_version(about: frame.Lesson, lesson: Open) -> None:
    said = link_of(lesson(about.key))
    always = {"windows": {"windows_position"}, "loss": {"loss_at"}}
    assert said.pop("v") == "1"
    assert set(said) <= always.get(about.key, set())


def keys_in(file: Path) -> set[str]:
    """The keys that a page's source gives to its controls, as far as they are written out there."""
    found = set()
    for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in CALLS:
            for argument in call.keywords:
                if argument.arg == "key" and isinstance(argument.value, ast.Constant | ast.JoinedStr):
                    parts = getattr(argument.value, "values", [argument.value])
                    found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in parts))
    return found


def test_the_source_of_no_page_has_a_control_that_is_neither() -> None:
    written = {key: file.name for file in (APP.parent / "pages").rglob("*.py") for key in keys_in(file)}
    assert len(written) > 50
    # a control of several lessons begins with the lesson's own name
    full = {key: [f"{lesson}{key[1:]}" if key[0] == "1" else key for lesson in controls.SHARED] for key in written}
    unknown = {
        (key, written[key])
        for key, names in full.items()
        if not any(controls.find(lesson, name) for lesson in controls.SHARED for name in names)
        and not any(controls.why_private(name) for name in names)
    }
    assert unknown == set()


MOVES: dict[str, list[dict[str, Any]]] = {
    "home": [{"home_prompt": "The clock struck"}],
    "tokens": [
        {"tokens_as": "bytes", "tokens_marks": False, "tokens_special": True, "tokens_example": "Leading space"}
    ],
    "bpe": [{"bpe_typed": " hippopotamuses", "bpe_sentence": "A <b>bold</b> :red[owl] & $x$.", "bpe_size_1236": 700}],
    "windows": [
        {"windows_stride": 40, "windows_batch": 3, "windows_context": 64, "windows_window": 7},
        {"windows_position": 12, "windows_view": "ids", "windows_drop_last": False},
        {"windows_epoch": 4, "windows_seed": 7},
    ],
    "parameters": [
        {"parameters_emb_dim": 96, "parameters_n_layers": 3},
        {"parameters_preset": "gpt2-medium", "parameters_tie_weights": False, "parameters_vocab_size": 5_000},
        {"parameters_preset": "class", "parameters_context_length": 77, "parameters_n_heads": 2},
    ],
    "forward": [
        {
            "forward_prompt_the-glass-clock": "The old clock",
            "forward_layer": 2,
            "forward_head": 3,
            "forward_show": True,
        },
        {"forward_view": "Dropout", "forward_rate": 0.3},
        {"forward_at_6": 3, "forward_view": "Residual stream", "forward_voice": "untrained"},
    ],
    "loss": [
        {"loss_voice": "pocket model", "loss_length": 20, "loss_start_training": 33, "loss_at": 5},
        {"loss_part": "validation", "loss_start_validation": 11},
        {"loss_part": "edit it", "loss_typed": "An owl at noon, and then another, said nothing at all."},
    ],
    "training": [
        {"training_lr_class": 0.002, "training_batch_size_class": 4, "training_stride_class": 16},
        {"training_preset": "book-124m", "training_min_lr_book-124m": 1e-5, "training_unit_book-124m": "steps"},
        {"training_optimiser_class": "sgd", "training_compact_vocab_class": False, "training_view": "Curves"},
        {"training_steps_class": 77, "training_seed_class": 9, "training_grad_clip_class": 1.0},
        {"training_view": "Curves", "training_axis": "tokens_seen", "training_panels": True},
    ],
    "overfitting": [{"overfitting_hide": True}],
    "memory": [
        {"memory_min_tokens": 9, "memory_state": "best", "memory_view": "Over the run"},
        {"memory_recorded_run": "Recorded: large"},
        {"memory_temperature_of_text": 1.5, "memory_seed": 5},
    ],
    "clinic": [
        {"clinic_part": "Gallery", "clinic_case": "no-mask", "clinic_compare": True},
        {"clinic_part": "Which bug is this?", "clinic_seed": 8},
        {"clinic_part": "Learning rate"},
    ],
    "compare": [
        {"compare_runs": ["curve seed-123", "the-glass-clock-class"], "compare_shown": "validation"},
        {"compare_axis": "epochs_read"},
    ],
    "floor": [{"floor_share": 0.3, "floor_strength": 2.25, "floor_seed": 6}],
    "sampling": [
        {"sampling_prompt_the-glass-clock": "The starling", "sampling_view": "Draw"},
        {
            "sampling_plain": True,
            "sampling_temperature": 0.7,
            "sampling_top_k": 12,
            "sampling_top_p": 0.9,
            "sampling_top_p_first": True,
            "sampling_seed": 99,
            "sampling_draws": 1_000,
            "sampling_view": "Draw",
        },
        {"sampling_view": "Compare", "sampling_compare_temperature_1": 0.5, "sampling_compare_most": 30},
        {"sampling_voice": "the book's nine words", "sampling_view": "Draw"},
    ],
    "pretrained": [
        {"pretrained_prompt_the-glass-clock": "A different day", "pretrained_temperature": 1.2, "pretrained_top_k": 7},
        {"pretrained_columns": ["pocket model", "untrained"]},
    ],
}


@pytest.mark.parametrize("key", MOVES)
def test_a_link_shows_the_same_numbers_to_somebody_else(key: str, lesson: Open) -> None:
    untouched = shown(lesson(key))
    for values in MOVES[key]:
        page = moved(key, lesson(key), **values)
        said = link_of(page)
        theirs = follow(key, said)
        assert not theirs.exception
        assert [warning.value for warning in theirs.warning if "link" in warning.value] == []
        assert shown(theirs) == shown(page) != untouched, f"{values} as {said}"
        assert link_of(theirs) == said


def test_every_lesson_has_a_link_that_is_tried() -> None:
    assert set(MOVES) == {about.key for about in frame.LESSONS}


# ---------------------------------------------------------------------------------------------------------- the thread


def test_a_link_carries_the_model_of_the_thread(lesson: Open) -> None:
    model = replace(MODEL_PRESETS["class"], emb_dim=96, drop_rate=0.25)
    page = lesson("parameters", **{thread.PRESET: model})
    said = link_of(page)
    assert said["model"] == "class,emb_dim:96,drop_rate:0.25"
    theirs = follow("parameters", said)
    assert theirs.session_state[thread.PRESET] == model
    assert shown(theirs) == shown(page)


def test_a_link_carries_settings_that_were_laid_ready(lesson: Open) -> None:
    page = lesson("windows")
    page.number_input(key="windows_stride").set_value(16).run()
    page.button(key="windows_train").click().run()
    page.switch_page(frame.page_file("training")).run()
    said = link_of(page)
    assert said["start"] == "0:the windows lesson"
    theirs = follow("training", said)
    assert theirs.selectbox(key="training_preset").value == "the settings of the windows lesson"
    assert theirs.number_input(key="training_stride_start_0").value == 16
    assert shown(theirs) == shown(page)


@pytest.mark.parametrize("key", ["training", "overfitting", "memory", "loss", "sampling", "compare"])
def test_a_link_to_a_run_shows_its_numbers_to_another_student(key: str, lesson: Open, finished_run: Run) -> None:
    page = lesson("training", **{thread.RUN: finished_run.id, thread.PRESET: resources.run_model_config(finished_run)})
    page.switch_page(frame.page_file(key)).run()
    said = link_of(page)
    assert said["run"] == finished_run.id
    assert "text" not in said
    theirs = follow(key, said)
    assert not theirs.exception
    assert shown(theirs) == shown(page)


def test_a_run_that_is_not_here_is_said_and_the_rest_is_loaded(lesson: Open) -> None:
    theirs = follow("windows", {"v": "1", "run": "a" * 20, "windows_batch": "5"})
    assert said_of(theirs) == (
        "The link's run is left aside: that run is not on this server, so you see the recorded one."
    )
    assert theirs.slider(key="windows_batch").value == 5


def test_an_own_text_that_no_run_here_has_learnt_is_said_and_never_sent(lesson: Open) -> None:
    secret = "My diary says nothing of owls. " * 200
    page = lesson("windows", **{thread.TEXT: read_bytes(secret.encode(), "diary.txt")})
    said = link_of(page)
    assert re.fullmatch("sha256-[0-9a-f]{64}", said["text"])
    assert "diary" not in str(said)
    theirs = follow("windows", said)
    assert said_of(theirs) == (
        "The link's text is left aside: it is its sender's own text, and no run on this server has learnt it. It goes "
        "on with The Glass Clock (our own story)."
    )
    assert not theirs.exception


def test_an_own_text_that_a_run_here_has_learnt_is_found_by_its_hash(lesson: Open, data_home: Path) -> None:
    own = read_bytes(("Nobody but two people has this text. " * 300).encode(), "ours.txt")
    RunStore(runs_home()).create(own, MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
    page = lesson("windows", **{thread.TEXT: own})
    theirs = follow("windows", link_of(page))
    assert shown(theirs) == shown(page)


# ------------------------------------------------------------------------------------------------------ what is refused


def said_of(page: AppTest) -> str:
    """What the lesson says of the link that opened it, markdown's backslashes taken off."""
    boxes = [each.value for each in page.warning if "link" in each.value or "control" in each.value]
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", " ".join(boxes))


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "$\\href{javascript:1}{x}$",
    ":red[x]",
    "=HYPERLINK(1)",
    "../../etc/passwd",
    "\x00\u202e\U0001f468\u200d\U0001f469",
]
NUMBERS = ["0", "-1", "nan", "inf", "1e400", "1" * 60, "1e9", "", " 5", "0x10", "٣", "1_0", "None", "[]", *HOSTILE]


@pytest.mark.parametrize("key", MOVES)
def test_a_hostile_value_is_refused_in_a_sentence_and_the_lesson_is_drawn(key: str) -> None:
    named = {each.key.replace("*", "class" if key == "training" else "6"): each for each in controls.SHARED[key]}
    for hostile in NUMBERS:
        theirs = follow(key, {"v": "1", **dict.fromkeys(named, hostile)})
        assert [each.value for each in theirs.exception] == [], hostile
        assert [header.value for header in theirs.header] == [next(x.question for x in frame.LESSONS if x.key == key)]
        refused = said_of(theirs)
        for name, control in list(named.items())[:8]:  # a long value ends the link before the last ones
            if control.kind is bool:
                assert f"{name} is left aside: “{hostile[:40]}" in refused


@pytest.mark.parametrize("hostile", [*HOSTILE, "x" * 150])
def test_a_hostile_thread_is_refused_in_sentences_and_the_lesson_is_drawn(hostile: str) -> None:
    names = ["text", "model", "run", "start", "start_model", "start_training", "lock", "hide", "most_steps"]
    theirs = follow("training", {"v": "1", **dict.fromkeys(names, hostile), hostile[:50]: "1"})
    assert not theirs.exception
    refused = said_of(theirs)
    for name in ("text", "model", "run", "start", "most_steps"):
        assert f"The link's {name} is left aside" in refused
    assert "This lesson has no control called" in refused


@pytest.mark.parametrize(
    ("model", "because"),
    [
        ("class,emb_dim:770,n_heads:12", "emb_dim=770 is not divisible by n_heads=12"),
        ("class,emb_dim:1000000000,n_heads:1", "emb_dim=1,000,000,000 is outside"),
        ("class,drop_rate:NaN", "drop_rate=nan is not a finite number"),
        ("class,drop_rate:1e400", "drop_rate=inf is not a finite number"),
        ("class,colour:1", "a setting called “colour” is unknown"),
        ("class,emb_dim:{", "emb_dim=“{” can't be read"),
        ("vast", "there is no preset called “vast”"),
    ],
)
def test_a_model_that_cannot_be_is_refused_with_its_values(model: str, because: str) -> None:
    theirs = follow("parameters", {"v": "1", "model": model})
    assert f"The link's model is left aside: {because}" in said_of(theirs)
    assert not theirs.exception


def test_a_link_that_is_too_long_is_loaded_as_far_as_it_goes() -> None:
    theirs = follow("windows", {"v": "1", "windows_batch": "5", "windows_rest": "x" * 5_000, "windows_epoch": "9"})
    assert "This link is too long: 3 of its 4 parameters are loaded, as many as have 2,000 signs" in said_of(theirs)
    assert theirs.slider(key="windows_batch").value == 5
    assert theirs.number_input(key="windows_epoch").value == 9


def test_what_does_not_fit_into_a_link_is_left_out_and_named(lesson: Open) -> None:
    page = moved("sampling", lesson("sampling"), **{"sampling_prompt_the-glass-clock": "An owl. " * 250})
    page.session_state[head.CODE] = True
    page.run()
    assert "Too long for a link, so it stays here: sampling_prompt_the-glass-clock." in [c.value for c in page.caption]
    assert "owl" not in next(code.value for code in page.code if "?v=" in code.value)


def test_a_link_of_another_version_says_so_and_loads_what_is_known() -> None:
    theirs = follow("windows", {"v": "2", "windows_batch": "5"})
    assert "This link is of version “2”, and this program reads version 1" in said_of(theirs)
    assert theirs.slider(key="windows_batch").value == 5


def test_a_value_that_this_text_does_not_allow_is_said_once_the_lesson_is_drawn() -> None:
    theirs = follow("windows", {"v": "1", "windows_window": "5000"})
    assert "Here the link's windows_window cannot be: you see the nearest or usual." in said_of(theirs)
    assert not theirs.exception


def test_the_sentence_goes_once_it_was_read() -> None:
    theirs = follow("windows", {"v": "7"})
    theirs.button(key="share_understood").click().run()
    assert said_of(theirs) == ""


def test_a_link_is_read_once_in_a_visit() -> None:
    theirs = follow("windows", {"v": "1", "windows_batch": "5"})
    theirs.slider(key="windows_batch").set_value(3).run()
    assert theirs.slider(key="windows_batch").value == 3
