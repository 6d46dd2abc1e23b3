"""The parameters lesson: any shape is counted at once, what is no model is refused in a sentence, nothing is built."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig
from gptcore.corpora import OWN_STORY, load_text, read_bytes
from gptcore.costs import HERE, book_run_here, duration
from gptcore.estimate import machine_speed, step_operations
from gptcore.parameters import count_parameters, part_groups, training_memory, well_known_counts
from gptcore.runs.store import Run
from pages._ui import ledger, predict, resources, shape, thread
from pages._ui.costs import _power

Open = Callable[..., AppTest]
Offers = Callable[[AppTest, str], Any]
Drawn = Callable[[AppTest, str], list[dict[str, Any]]]
BOOK = MODEL_PRESETS["book-124m"]


@pytest.fixture
def page(lesson: Open) -> AppTest:
    return lesson("parameters")


def total(page: AppTest) -> str:
    (metric,) = page.metric
    return metric.value


def prose(page: AppTest) -> str:
    return " ".join(" ".join(text.value for text in page.markdown).split())


def select(page: AppTest, preset: str) -> AppTest:
    return page.selectbox("parameters_preset").select(preset).run()


def column_table(page: AppTest, column: str) -> pd.DataFrame:
    """The one table that has this column."""
    (frame,) = (frame.value for frame in page.dataframe if column in frame.value.columns)
    return frame


def says(page: AppTest) -> dict[str, Any]:
    """What all controls say."""
    numbers = {
        name: page.number_input(f"parameters_{name}").value for name in shape.LABELS if name not in shape.SWITCHES
    }
    return numbers | {name: page.toggle(f"parameters_{name}").value for name in shape.SWITCHES}


def test_the_page_opens_with_the_model_of_the_thread(page: AppTest) -> None:
    assert not page.exception
    assert total(page) == f"{count_parameters(BOOK):,}"
    assert page.button("parameters_go_on").disabled


def test_a_model_chosen_elsewhere_fills_the_controls(lesson: Open) -> None:
    mine = replace(MODEL_PRESETS["class"], vocab_size=1_234)
    page = lesson("parameters", **{thread.PRESET: mine})
    assert total(page) == f"{count_parameters(mine):,}"
    assert page.selectbox("parameters_preset").value == "class"
    assert any("vocab_size 1,234 instead of 50,257" in caption.value for caption in page.caption)


@pytest.mark.parametrize("preset", MODEL_PRESETS)
def test_a_preset_fills_every_control(page: AppTest, preset: str) -> None:
    select(page, preset)
    assert not page.exception
    assert says(page) == {name: getattr(MODEL_PRESETS[preset], name) for name in shape.LABELS}
    assert total(page) == f"{count_parameters(MODEL_PRESETS[preset]):,}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("emb_dim", 960), ("n_layers", 3), ("vocab_size", 1_000), ("context_length", 64), ("n_heads", 8)],
)
def test_every_number_is_counted(page: AppTest, name: str, value: int) -> None:
    page.number_input(f"parameters_{name}").set_value(value).run()
    assert total(page) == f"{count_parameters(replace(BOOK, **{name: value})):,}"
    assert any(f"{name} {value:,} instead of" in caption.value for caption in page.caption)


@pytest.mark.parametrize("name", shape.SWITCHES)
def test_every_switch_is_counted(page: AppTest, name: str) -> None:
    page.toggle(f"parameters_{name}").set_value(True).run()
    assert total(page) == f"{count_parameters(replace(BOOK, **{name: True})):,}"


def test_the_treemap_and_the_tables_sum_to_the_total(page: AppTest) -> None:
    select(page, "gpt2-xl")
    chart = next(chart for chart in page.get("plotly_chart") if chart.key == "parameters_treemap")
    (treemap,) = json.loads(chart.proto.spec)["data"]
    counted = dict(zip(treemap["ids"], treemap["values"], strict=True))
    assert counted["all"] == count_parameters(MODEL_PRESETS["gpt2-xl"])
    parts, tensors = (frame.value for frame in page.dataframe[:2])
    assert dict(zip(parts["part"], parts["count"], strict=True)) == part_groups(MODEL_PRESETS["gpt2-xl"])
    assert tensors["count"].sum() == counted["all"]
    assert tensors["share"].sum() == pytest.approx(100)


def test_a_model_of_a_thousand_layers_is_drawn_with_its_blocks_closed(page: AppTest) -> None:
    page.number_input("parameters_n_layers").set_value(1_000).run()
    chart = next(chart for chart in page.get("plotly_chart") if chart.key == "parameters_treemap")
    (treemap,) = json.loads(chart.proto.spec)["data"]
    counted = dict(zip(treemap["ids"], treemap["values"], strict=True))
    assert counted["all"] == count_parameters(replace(BOOK, n_layers=1_000))
    assert counted["blocks.999"] == part_groups(BOOK)["blocks"] // 12
    assert len(counted) < 1_100


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("emb_dim", 770, "emb_dim=770 is not divisible by n_heads=12."),
        ("emb_dim", 0, "emb_dim=0 is outside 1 to 65,536."),
        ("emb_dim", 1_000_000_000, "emb_dim=1,000,000,000 is outside 1 to 65,536."),
        ("n_layers", -1, "n_layers=-1 is outside 1 to 1,000."),
        ("context_length", 0, "context_length=0 is outside 1 to 131,072."),
    ],
)
def test_what_is_no_model_is_said_and_the_former_figure_stays(
    page: AppTest, refusals: Callable[[AppTest], list[str]], name: str, value: int, sentence: str
) -> None:
    select(page, "gpt2-small")
    page.number_input(f"parameters_{name}").set_value(value).run()
    assert not page.exception
    (error,) = refusals(page)
    assert error.startswith(sentence)
    assert total(page) == f"{count_parameters(MODEL_PRESETS['gpt2-small']):,}"


def test_a_model_can_be_taken_along(page: AppTest) -> None:
    page.number_input("parameters_n_layers").set_value(2).run()
    page.button("parameters_go_on").click().run()
    assert page.session_state[thread.PRESET] == replace(BOOK, n_layers=2)
    assert page.button("parameters_go_on").disabled
    assert page.number_input("parameters_n_layers").value == 2


def test_a_shape_survives_a_look_at_another_page(page: AppTest) -> None:
    select(page, "harry-potter")
    page.number_input("parameters_n_layers").set_value(2).run()
    page.switch_page("pages/loss.py").run()
    page.switch_page("pages/parameters.py").run()
    assert total(page) == f"{count_parameters(replace(MODEL_PRESETS['harry-potter'], n_layers=2)):,}"


def test_the_sizes_that_people_give_are_counted(page: AppTest) -> None:
    (table,) = page.table
    known = well_known_counts()
    shown = [f"{n:,}" for n in known["count"].dropna()]
    assert [cell for cell in table.value["parameters"] if cell != "published label"] == shown
    for config in (GPTConfig(), BOOK, MODEL_PRESETS["gpt2-small"], replace(GPTConfig(), qkv_bias=True)):
        assert f"{count_parameters(config):,}" in shown
    assert table.value["parameters"]["117 M"] == "published label"


@pytest.mark.parametrize("preset", ["book-124m", "harry-potter"])
def test_the_headlines_are_those_of_this_text_and_model(page: AppTest, preset: str) -> None:
    config = MODEL_PRESETS[preset]
    select(page, preset)
    groups = part_groups(config)
    share = (groups["token embedding"] + groups["output head"]) / sum(groups.values())
    counts = resources.text_counts(load_text(OWN_STORY).text, config.context_length, TRAIN_PRESETS[preset])
    each = count_parameters(config) / counts.train.targets_used
    assert f"{share:.1%} of this model is dictionary" in prose(page)
    assert f"{counts.train.targets_used:,} tokens to learn from: {each:,.0f} parameters for each" in prose(page)


def test_the_class_preset_tells_what_a_compact_vocabulary_leaves(page: AppTest) -> None:
    select(page, "class")
    counts = resources.text_counts(load_text(OWN_STORY).text, 32, TRAIN_PRESETS["class"])
    left = count_parameters(replace(MODEL_PRESETS["class"], vocab_size=counts.vocab_size))
    assert f"your text's {counts.vocab_size:,} tokens, which leaves {left:,}" in prose(page)


def test_a_text_too_short_to_train_on_is_no_division_by_zero(lesson: Open) -> None:
    page = lesson("parameters", **{thread.TEXT: read_bytes(b"Too short.", "short.txt")})
    assert not page.exception
    assert "Your text can't train it: its training part has 2 tokens" in prose(page)


def test_a_model_that_does_not_fit_is_still_counted(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "memory_limit", lambda: 2 * 2**30)
    select(page, "gpt2-xl")
    needed = sum(training_memory(MODEL_PRESETS["gpt2-xl"], TRAIN_PRESETS["gpt2-xl"]).values())
    assert f"{needed / 2**30:,.1f} GiB; this machine lets the program have 2.0 GiB. It does not fit" in prose(page)
    assert total(page) == f"{count_parameters(MODEL_PRESETS['gpt2-xl']):,}"


@pytest.mark.parametrize(("preset", "right"), [("book-124m", 3), ("harry-potter", 2), ("gpt2-xl", 4)])
def test_the_question_is_scored_from_the_ledger(page: AppTest, offers: Offers, preset: str, right: int) -> None:
    select(page, preset)
    config = MODEL_PRESETS[preset]
    growth = count_parameters(replace(config, emb_dim=2 * config.emb_dim)) / count_parameters(config)
    offers(page, "parameters").set_value(f"about {right}").run()
    assert page.success[0].value.startswith(f"Yes. {growth:.2f} times")
    offers(page, "parameters").set_value("about 8").run()
    assert page.info[0].value.startswith(f"It is about {right}. {growth:.2f} times")


def test_a_guess_is_for_the_shape_it_was_made_for(page: AppTest, offers: Offers) -> None:
    offers(page, "parameters").set_value("about 8").run()
    page.number_input("parameters_emb_dim").set_value(480).run()
    assert offers(page, "parameters").value is None
    assert list(page.session_state[predict.TALLY].values()) == [False]


# ------------------------------------------------------------------------------ the numbers that people give, the slips


KNOWN = well_known_counts().dropna(subset=["config"])


@pytest.mark.parametrize("said", KNOWN["said"])
def test_a_number_that_people_give_is_this_ledger_with_its_switches_moved(page: AppTest, said: str) -> None:
    config = KNOWN.set_index("said").loc[said, "config"]
    (button,) = (button for button in page.button if button.label == said)
    if config != BOOK:
        button.click().run()
    assert not page.exception
    assert total(page) == f"{count_parameters(config):,}"
    assert page.table[0].value.loc[said, "from the ledger above"] == "this very model"


def test_the_way_to_each_number_is_told_from_the_ledger_on_screen(page: AppTest) -> None:
    (table,) = page.table
    way = table.value["from the ledger above"]
    gained = count_parameters(MODEL_PRESETS["gpt2-small"]) - count_parameters(BOOK)
    assert way["124 M"] == f"Tied head on, Context 1,024, Bias in q, k, v on: −{-gained:,}"
    assert way["163 M"] == "Context 1,024: +589,824"
    assert way["117 M"] == "a part, or no count"


def test_what_each_switch_would_change_is_told(page: AppTest) -> None:
    (told,) = (caption.value for caption in page.caption if caption.value.startswith("One switch from here"))
    assert told == (
        "One switch from here: Tied head on −38,597,376; Bias in q, k, v on +27,648; Context 1,024 +589,824."
    )


def test_the_books_run_has_35247_parameters_a_token(lesson: Open) -> None:
    """With a text that, like the book's, gives 18 training windows of 256 tokens."""
    page = lesson("parameters", **{thread.TEXT: read_bytes(b" one" * 5_200, "long.txt")})
    assert "4,608 tokens to learn from: 35,247 parameters for each" in prose(page)


def test_the_harry_potter_model_is_99_1_percent_dictionary(page: AppTest) -> None:
    assert "99.1% of this model is dictionary: 1,608,224 parameters" in prose(select(page, "harry-potter"))


def test_the_slips_are_answered_by_the_ledgers_numbers(page: AppTest) -> None:
    select(page, "gpt2-xl")
    assert "768 × 768 = 589,824: 0.59 M. In the model above it has 1,600 × 1,600 = 2,560,000" in prose(page)
    assert "50,000 × 768 = 38,400,000, and exactly 50,257 × 768 = 38,597,376" in prose(page)
    assert "The Harry Potter model has 1,622,208: 1.6 million." in prose(page)


# ---------------------------------------------------------------------------------------------- sizes, memory, times


def test_the_models_of_the_sources_stand_side_by_side_at_true_scale(page: AppTest, drawn: Drawn) -> None:
    page.number_input("parameters_n_layers").set_value(5).run()
    mine = replace(BOOK, n_layers=5)
    bars = {trace["name"]: trace for trace in drawn(page, "parameters_scale")}
    names = ["this model", *(name for name in MODEL_PRESETS if name not in ledger.OURS)]
    for number, config in enumerate([mine, *(MODEL_PRESETS[name] for name in names[1:])]):
        (width,) = {trace["width"][number] for trace in bars.values()}
        height = sum(trace["y"][number] for trace in bars.values())
        assert width * height == pytest.approx(count_parameters(config))
        assert width == pytest.approx(height)
        groups = part_groups(config)
        dictionary = groups["token embedding"] + groups["output head"]
        assert bars["dictionary"]["y"][number] * width == pytest.approx(dictionary)


@pytest.mark.parametrize("preset", ["harry-potter", "pocket", "gpt2-xl"])
def test_each_line_of_memory_is_the_product_that_stands_beside_it(page: AppTest, preset: str) -> None:
    select(page, preset)
    shown = column_table(page, "held for").set_index("held for")
    held = training_memory(MODEL_PRESETS[preset], TRAIN_PRESETS[preset])
    assert (shown["MiB"] * 2**20).to_dict() == pytest.approx(held)
    for purpose, product in shown["as"].items():
        factors = [float(factor.split()[0].replace(",", "")) for factor in product.split(" × ")]
        assert math.prod(factors) == pytest.approx(held[str(purpose)], rel=1e-6)


def test_the_arithmetic_of_the_books_run_is_told_by_rule_and_by_count(page: AppTest) -> None:
    shown = column_table(page, "6 N D").set_index("for")
    exact = step_operations(BOOK, 2)
    assert shown.loc["an update", "counted"] == "3.94 × 10¹¹" == _power(exact)
    assert shown.loc["an update", "6 N D"] == _power(6 * 162_419_712 * 512) == "4.99 × 10¹¹"
    assert shown.loc["this run, 90 updates", "counted"] == _power(90 * exact)
    assert "counted matrix by matrix it is −21%" in prose(page)


def test_one_table_tells_how_long_and_what_cost_and_where_each_figure_is_from(page: AppTest) -> None:
    shown = column_table(page, "figures are").set_index("training")
    days = {"MacBook Air": 300, "a lecture": 396, "RTX 3090": 11}
    for name, seconds in days.items():
        row = shown.loc[f"the book's run, {name}"]
        assert (row["figures are"], row["tokens"], row["time"]) == ("published", 46_080, duration(seconds))
        assert row["10 billion tokens"] == duration(10**10 * seconds / 46_080)
    assert shown.loc["the book's run, RTX 3090", "10 billion tokens"] == "28 days"
    here = book_run_here(machine_speed()).seconds
    assert shown.loc[HERE, "time"] == duration(here)
    assert shown.loc[HERE, "figures are"] == "computed"
    assert "measured just now" in shown.loc[HERE, "source"]
    recorded = Run(thread.RECORDED_RUN).metrics()[0][-1]
    row = shown.loc["the recorded run of this program"]
    assert (row["figures are"], row["time"]) == ("recorded", duration(recorded["seconds"]))
    assert shown.loc["GPT-2 124M, llm.c, eight A100", "dollars"] == "20"
    assert (shown.loc["the same, rented", "dollars"], shown.loc["the same, rented", "figures are"]) == (
        "691,200",
        "computed",
    )
    assert shown["source"].str.len().min() > 0


def test_a_run_of_ones_own_is_timed_by_its_own_clock(lesson: Open, finished_run: Run) -> None:
    page = lesson("parameters", **{thread.RUN: finished_run.id, thread.TEXT: finished_run.text})
    row = column_table(page, "figures are").set_index("training").loc["your run, this machine"]
    last = finished_run.metrics()[0][-1]
    assert (row["figures are"], row["tokens"], row["time"]) == (
        "measured",
        last["tokens_seen"],
        duration(last["seconds"]),
    )


def test_the_recorded_run_is_left_alone(page: AppTest) -> None:
    before = Run(thread.RECORDED_RUN).config
    page.number_input("parameters_n_layers").set_value(2).run()
    page.button("parameters_go_on").click().run()
    assert Run(thread.RECORDED_RUN).config == before


def test_counting_needs_no_torch() -> None:
    script = "import sys, pages._ui.shape, pages._ui.ledger, gptcore.figures.ledger; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=False).returncode == 0
