"""The command line: what it prints, what it leaves behind, and errors in one line with the right exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gptcore import __main__ as cli
from gptcore import commands, recordings, seeds, timeline
from gptcore.checked import help_for
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, TrainConfig
from gptcore.paths import REPOSITORY, runs_home
from gptcore.runs import sweeping
from gptcore.runs.store import Run, RunStore
from gptcore.sweeps import Axis, Sweep
from tests import tiny

OWN_STORY = "the-glass-clock"
STORY = "The lamp burned low and the keeper slept. The clock struck one, and then the keeper woke by the lamp. " * 40
SHORT = ["--steps", "5", "--eval-every", "2", "--eval-batches", "1", "--sample-tokens", "3"]


@pytest.fixture
def story(tmp_path: Path) -> str:
    path = tmp_path / "story.txt"
    path.write_text(STORY, encoding="utf-8")
    return str(path)


@pytest.fixture
def trained(tmp_path: Path, story: str, capsys: pytest.CaptureFixture[str]) -> Path:
    """A run of five steps."""
    out = tmp_path / "run"
    assert cli.main(["train", "--text", story, "--out", str(out), *SHORT]) == 0
    capsys.readouterr()
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of what must go wrong, and its one line."""
    try:
        code = cli.main(arguments)
    except SystemExit as exit_:  # argparse's way
        code = int(str(exit_.code))
    out, error = capsys.readouterr()
    assert out == ""
    lines = [line for line in error.splitlines() if not line.startswith(("usage:", "  "))]
    assert len(lines) == 1, error
    assert "Traceback" not in error
    return code, lines[0]


# ----------------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("preset", "total"),
    [("harry-potter", "1,622,208"), ("book-124m", "162,419,712"), ("gpt2-xl", "1,557,611,200")],
)
def test_parameters_prints_the_ledger_and_its_total(
    preset: str, total: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["parameters", "--preset", preset]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[-1].split() == ["total", total]


def test_parameters_can_print_every_tensor(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["parameters", "--preset", "gpt2-small", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 149 + 1
    counts = [int(line.rsplit(maxsplit=1)[1].replace(",", "")) for line in lines]
    assert sum(counts[:-1]) == counts[-1] == 124_439_808


def test_parameters_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "gptcore", "parameters", "--preset", "harry-potter"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1,622,208" in done.stdout


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    """As with ``| head -1``: whoever reads closes the pipe before all is written."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "gptcore", "parameters", "--preset", "gpt2-xl", "--all"]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


# --------------------------------------------------------------------------------------------------------------- tokens


def test_tokens_prints_each_piece_with_its_ids(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tokens", "Every effort moves \U0001f642"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines] == [
        "6109  'Every'",
        "3626  ' effort'",
        "6100  ' moves'",
        "32485  ' \U0001f642'",
        "4 tokens, 20 characters",
    ]


def test_tokens_reads_standard_input_and_the_special_token_where_it_is_asked_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("one<|endoftext|>"))
    assert cli.main(["tokens", "-", "--special"]) == 0
    assert "50256  '<|endoftext|>'" in capsys.readouterr().out
    assert cli.main(["tokens", "one<|endoftext|>"]) == 0
    assert "50256" not in capsys.readouterr().out


def test_control_characters_are_shown_and_not_sent_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tokens", "\x1b[2Ja\0\u202e\ud800"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\0" not in out


# --------------------------------------------------------------------------------------------------- train and generate


def test_train_writes_a_run_and_says_where(tmp_path: Path, story: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert cli.main(["train", "--text", story, "--out", str(out), "--preset", "class", *SHORT]) == 0
    printed = capsys.readouterr().out
    assert f"done: {out}" in printed
    assert "untrained: train loss " in printed
    assert "step 4: train loss " in printed
    run = Run(out)
    rows, _ = run.metrics()
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    assert run.model_config == MODEL_PRESETS["class"]


def test_train_then_generate(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--prompt", "The lamp", "--temperature", "0.8", "--top-k", "5", "--seed", "1", "--max-new-tokens", "6"]
    printed = []
    for _ in range(2):
        assert cli.main(["generate", "--model", str(trained), *arguments]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0].startswith("The lamp")
    assert len(printed[0]) > len("The lamp\n")
    assert printed[0] == printed[1]
    for which in ("last.safetensors", "best.safetensors"):
        assert cli.main(["generate", "--model", str(trained / which), *arguments]) == 0
        assert capsys.readouterr().out.startswith("The lamp")


def test_no_new_token_prints_the_prompt(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["generate", "--model", str(trained), "--prompt", "The lamp", "--max-new-tokens", "0"]) == 0
    assert capsys.readouterr().out == "The lamp\n"


def test_our_own_story_is_trained_on_by_its_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--text", OWN_STORY, "--out", str(tmp_path / "run"), *SHORT]) == 0
    assert Run(tmp_path / "run").config["text"]["key"] == OWN_STORY


def test_the_verdict_can_be_trained_on_with_the_default_preset(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPTCORE_DATA", str(shared_data))
    code = cli.main(["train", "--text", "the-verdict", "--out", str(tmp_path / "run"), *SHORT])
    assert code == 0, capsys.readouterr().err


def test_every_setting_can_be_said_and_goes_before_the_presets(tmp_path: Path, story: str) -> None:
    out = tmp_path / "run"
    said = {
        "steps": 3,
        "batch_size": 4,
        "lr": 0.02,
        "weight_decay": 0.0,
        "seed": 9,
        "eval_every": 2,
        "eval_batches": 1,
        "stride": 16,
        "train_fraction": 0.8,
        "sealed_fraction": 0.1,
        "sample_at": "epoch",
        "sample_prompt": "The keeper",
        "sample_tokens": 2,
        "optimiser": "sgd",
        "precision": "bfloat16",
        "warmup_steps": 1,
        "min_lr": 0.001,
        "grad_clip": 0.5,
        "threads": 1,
        "max_minutes": 5.0,
        "variant": "no-mask",
    }
    arguments = [part for name, value in said.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    assert cli.main(["train", "--text", story, "--out", str(out), *arguments]) == 0
    training = Run(out).config["training"]
    assert {name: training[name] for name in said} == said
    assert training["compact_vocab"] is True  # not said, so the preset's
    assert cli.TRAIN_OVERRIDES.keys() == said.keys() | {"epochs", "sampled_vocab"}


def test_a_part_of_the_vocabulary_can_be_asked_for_where_all_of_it_is_there(tmp_path: Path, story: str) -> None:
    arguments = ["train", "--text", story, "--steps", "1", "--sample-tokens", "1", "--sampled-vocab", "50"]
    assert cli.main([*arguments, "--out", str(tmp_path / "refused")]) == 2  # the preset's vocabulary is compact
    assert cli.main([*arguments, "--no-compact-vocab", "--out", str(tmp_path / "run")]) == 0
    assert Run(tmp_path / "run").config["training"]["sampled_vocab"] == 50


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], (True, False, False)),
        (["--no-compact-vocab"], (False, False, False)),
        (["--no-compact-vocab", "--end-of-text"], (False, True, False)),
        (["--no-compact-vocab", "--reference"], (False, False, True)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_switches_can_be_turned_on_and_off(said: list[str], expected: tuple[bool, ...]) -> None:
    settings = commands._settings(cli._arguments().parse_args(["train", *said]))
    assert (settings.compact_vocab, settings.end_of_text, settings.reference) == expected


def test_epochs_that_are_asked_for_replace_a_presets_steps(tmp_path: Path, story: str) -> None:
    assert TRAIN_PRESETS["class"].steps is not None
    out = tmp_path / "run"
    assert cli.main(["train", "--text", story, "--out", str(out), "--epochs", "1", "--stride", "32"]) == 0
    run = Run(out)
    assert run.train_config.steps is None
    assert run.status["total_steps"] == run.status["batches_per_epoch"]


# --------------------------------------------------------------------------------------------------------------- resume


def test_a_run_goes_on_with_more_steps(trained: Path) -> None:
    assert cli.main(["train", "--resume", str(trained), "--steps", "8"]) == 0
    assert [row["step"] for row in Run(trained).metrics()[0]] == list(range(8))


def test_a_run_of_so_many_steps_goes_on_with_epochs_where_they_are_asked_for(trained: Path) -> None:
    per_epoch = Run(trained).status["batches_per_epoch"]
    assert cli.main(["train", "--resume", str(trained), "--epochs", "2"]) == 0
    assert len(Run(trained).metrics()[0]) == 2 * per_epoch > 5


def test_a_cancelled_run_goes_on_to_its_end(trained: Path) -> None:
    run = Run(trained)
    run.ask_to_stop()
    assert cli.main(["train", "--resume", str(trained), "--steps", "9"]) == 0
    assert run.status["state"] == "done"
    assert len(run.metrics()[0]) == 9


def test_a_run_that_trains_elsewhere_is_left_as_it_is(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(trained)
    run.update_status(state="running")
    before = {path.name: path.read_bytes() for path in (trained / "status.json", trained / "config.json")}
    with run.lock.acquire():
        code, _ = refused(capsys, "train", "--resume", str(trained), "--steps", "9")
    assert code in (1, 2)
    assert {name: (trained / name).read_bytes() for name in before} == before


def test_an_impossible_number_of_steps_is_refused_when_going_on_too(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = refused(capsys, "train", "--resume", str(trained), "--steps", "0")
    assert code == 2
    assert "steps=0 is outside 1 to 10,000,000" in line


def test_a_folder_without_a_run_has_nothing_to_go_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = refused(capsys, "train", "--resume", str(tmp_path))
    assert code == 2
    assert line == f"gptcore: {tmp_path} holds no run to go on with"


def test_a_run_that_met_its_time_limit_goes_on_when_it_is_given_more(
    tmp_path: Path, story: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert cli.main(["train", "--text", story, "--out", str(out), *SHORT, "--max-minutes", "0"]) == 1
    where, error = capsys.readouterr().err.splitlines()
    assert where.startswith("training on the processor")
    assert error == "gptcore: stopped at its limit of 0 minutes"
    assert cli.main(["train", "--resume", str(out), "--max-minutes", "5"]) == 0
    assert Run(out).train_config.max_minutes == 5.0
    assert [row["step"] for row in Run(out).metrics()[0]] == [0, 1, 2, 3, 4]


# ----------------------------------------------------------------------------------------------------------- serve-runs


def serve_runs(home: Path) -> subprocess.Popen[bytes]:
    with (home / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "gptcore", "serve-runs"],
            cwd=REPOSITORY,
            env=os.environ | {"GPTCORE_HOME": str(home), "OMP_NUM_THREADS": "1"},
            stderr=log,
        )


def test_serve_runs_trains_what_is_queued_and_saves_what_is_under_way_when_it_is_asked_to_end(tmp_path: Path) -> None:
    """First by the signal that ends services, then by Ctrl-C; the second start goes on where the first one ended."""
    runs = RunStore(tmp_path / "runs")
    short, long = (runs.create(tiny.STORY, tiny.MODEL, settings) for settings in (tiny.SETTINGS, tiny.FOREVER))
    begun = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        server = serve_runs(tmp_path)
        try:
            enough = begun + 20
            tiny.until(lambda: server.poll() is not None or len(long.metrics()[0]) > enough)  # noqa: B023
            tiny.until(lambda: server.poll() is not None or short.has_ended)  # noqa: B023
            server.send_signal(number)
            assert server.wait(tiny.PATIENCE_SECONDS) == 0
        finally:
            server.kill()
            server.wait()
        assert (short.status["state"], long.status["state"]) == ("done", "interrupted")
        assert long.status["reason"] == "the program was stopped; the run goes on when it is started again"
        assert not long.is_alive
        begun = len(tiny.losses(long))  # no step is missing, none is doubled
        assert long.status["step"] == begun - 1
    assert long.status["attempt"] == 2
    log = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert log == f"training what is queued in {runs.root}; Ctrl-C ends it\n" * 2
    assert (runs.root / "workers.log").read_bytes() == b""


def test_serve_runs_says_where_it_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("GPTCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert cli.main(["serve-runs"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"gptcore: no run can be trained in {tmp_path / 'home' / 'runs'}: it can't be written"


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "train needs --text and --out, or --resume"),
        (["train", "--text", "nowhere.txt", "--out", "out"], "'nowhere.txt' can't be read: No such file"),
        (["train", "--text", OWN_STORY, "--out", "out", "--lr", "nan"], "lr=nan is not a finite number"),
        (["train", "--text", OWN_STORY, "--out", "out", "--lr", "1e400"], "lr=inf is not a finite number"),
        (["train", "--text", OWN_STORY, "--out", "out", "--steps", "0"], "steps=0 is outside 1 to 10,000,000"),
        (["train", "--text", OWN_STORY, "--out", "out", "--steps", "1e400"], "invalid int value: '1e400'"),
        (["train", "--text", OWN_STORY, "--out", "out", "--optimiser", "lion"], "optimiser='lion' is not one of"),
        (["train", "--text", OWN_STORY, "--out", "out", "--reference"], "a reference run needs"),
        (["train", "--text", OWN_STORY, "--out", "out", "--batch-size", "9999"], "choose a batch size of at most"),
        (["train", "--text", OWN_STORY, "--out", "out", "--sample-prompt", "Zebra"], "it has no token 'Z"),
        (["train", "--text", OWN_STORY, "--out", "out", "--preset", "gpt5"], "invalid choice: 'gpt5'"),
        (["parameters", "--preset", "gpt5"], "invalid choice: 'gpt5'"),
        (["generate", "--model", "nowhere", "--prompt", "a"], "nowhere does not exist"),
        (["generate", "--model", ".", "--prompt", "a", "--temperature", "-1"], "temperature=-1 is below 0"),
        (["generate", "--model", ".", "--prompt", "a", "--top-k", "0"], "top_k=0 is outside 1 to"),
        (["generate", "--model", ".", "--prompt", "a", "--top-p", "1.5"], "top_p=1.5 is outside (0, 1]"),
        (["sing"], "invalid choice: 'sing'"),
        ([], "the following arguments are required: COMMAND"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_a_request_that_cannot_be_carried_out_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, line = refused(capsys, *arguments)
    assert code == 2
    assert message in line
    assert list(tmp_path.iterdir()) == []  # and nothing is left behind


def test_a_folder_that_holds_something_is_refused(
    trained: Path, story: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = refused(capsys, "train", "--text", story, "--out", str(trained), *SHORT)
    assert code == 2
    assert "already holds something; choose another folder, or go on with --resume" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", ""], "the prompt holds no token"),
        (["--prompt", "The zebra"], "it has no token ' z"),
        (
            ["--prompt", "The lamp", "--max-new-tokens", "1000000000"],
            "max_new_tokens=1,000,000,000 is outside 0 to 4,096",
        ),
        (["--prompt", "The lamp", "--max-new-tokens", "-1"], "max_new_tokens=-1 is outside 0 to 4,096"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_a_prompt_that_cannot_be_gone_on_with_is_refused_in_one_line(
    arguments: list[str], message: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = refused(capsys, "generate", "--model", str(trained), *arguments)
    assert code == 2
    assert message in line


def test_a_damaged_model_is_refused_in_one_line(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = trained / "best.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    code, line = refused(capsys, "generate", "--model", str(path), "--prompt", "The lamp")
    assert code == 2
    assert "best.safetensors is damaged" in line


def test_a_run_that_fails_has_exit_code_1_and_its_reason(
    tmp_path: Path, story: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    assert cli.main(["train", "--text", story, "--out", out, *SHORT, "--lr", "1e30", "--eval-every", "90"]) == 1
    where, error = capsys.readouterr().err.splitlines()
    assert where.startswith("training on the processor")
    assert error.startswith("gptcore: diverged at step ")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "gptcore: interrupted\n"),
        (RuntimeError("why"), 1, "gptcore: why\n"),
        (OSError(28, "No space left on device"), 1, "gptcore: [Errno 28] No space left on device\n"),
        (MemoryError("needs 9 MiB of 8 MiB"), 1, "gptcore: needs 9 MiB of 8 MiB\n"),
        (ValueError("why"), 2, "gptcore: why\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_have_their_exit_codes(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: object) -> int:
        raise error

    monkeypatch.setitem(commands.COMMANDS, "parameters", fail)
    assert cli.main(["parameters"]) == code
    assert capsys.readouterr().err == line


# ------------------------------------------------------------------------------------------------------------ recording


def test_record_trains_the_plans_of_a_lesson_and_keeps_their_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = seeds.PLANS[0]
    short = replace(plan, training=replace(plan.training, steps=3, eval_every=2, eval_batches=1, sample_tokens=2))
    monkeypatch.setattr(seeds, "PLANS", [short])
    monkeypatch.setattr(recordings, "save", partial(recordings.save, folder=tmp_path))
    assert cli.main(["record", "seeds"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'seed-123.json'}: 3 updates\n"
    assert recordings.load("seed-123", tmp_path).plan == short


def test_keep_takes_a_run_among_those_that_can_be_looked_back_at(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timeline, "TIMELINES", tmp_path)
    assert cli.main(["keep", str(trained), "mine"]) == 0
    assert "mine.json" in capsys.readouterr().out
    assert timeline.load("mine", tmp_path) == timeline.look_back(Run(trained))
    assert cli.main(["keep", str(tmp_path), "nothing"]) == 2
    assert capsys.readouterr().err == f"gptcore: {tmp_path} holds no run\n"


# ----------------------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize(
    "command",
    ["train", "generate", "tokens", "parameters", "serve-runs", "record", "keep", *cli.weights_commands.COMMANDS],
)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    assert "usage: python -m gptcore" in capsys.readouterr().out


def test_a_setting_is_explained_in_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    for name in (*cli.TRAIN_OVERRIDES, *cli.TRAIN_FLAGS):
        assert " ".join(help_for(TrainConfig, name).split()) in out, name


def test_the_metrics_that_train_writes_are_plain_json(trained: Path) -> None:
    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    lines = (trained / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line, parse_constant=no_constant) for line in lines)


def test_ctrl_c_stops_after_a_step_and_the_run_goes_on_where_it_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pressed: list[int] = []

    def press(bar: object, record: object, *rest: object) -> None:
        del bar, rest
        if getattr(record, "step", -1) == 2 and not pressed:
            pressed.append(2)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(commands, "_report", press)
    folder = tmp_path / "run"
    asked = ["train", "--text", "the-glass-clock", "--steps", "6", "--eval-every", "3", "--out", str(folder)]
    assert cli.main(asked) == 130
    assert f"go on with --resume {folder}" in capsys.readouterr().err
    assert cli.main(["train", "--resume", str(folder)]) == 0
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == list(range(6))


def test_resuming_refuses_to_change_what_a_run_began_with(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--resume", str(trained), "--lr", "1e-4", "--seed", "7"]) == 2
    assert capsys.readouterr().err == "gptcore: a run goes on as it began: lr, seed can't be changed with --resume\n"


def test_resuming_refuses_what_a_run_has_from_its_beginning(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}
    said = ["--text", "nowhere", "--preset", "gpt2-xl", "--out", "other", "--steps", "9"]
    code, line = refused(capsys, "train", "--resume", str(trained), *said)
    assert code == 2
    assert line == "gptcore: a run goes on as it began: out, preset, text can't be changed with --resume"
    assert {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()} == before


def test_resuming_a_sweep_refuses_what_it_has_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPTCORE_HOME", str(tmp_path))
    axes = (Axis("lr", (0.001, 0.01)),)
    sweep = Sweep(tiny.MODEL, replace(tiny.SETTINGS, steps=3), axes, budget=100.0)
    mine = sweeping.begin(RunStore(runs_home()), tiny.STORY, sweep)
    said = ["--budget", "2000", "--vary", "lr=1,2", "--text", "nowhere", "--steps", "9", "--study", "3"]
    code, line = refused(capsys, "sweep", "--resume", mine.id, *said, "--preset", "class")
    assert code == 2
    assert line.startswith("gptcore: a sweep goes on as it began: text, preset, vary, budget, steps, study can't be")
    assert mine.runs() == []


@pytest.mark.parametrize(
    ("said", "message"),
    [(["--steps", "0"], "steps=0 is outside 1 to 10,000,000"), (["--study", "0"], "0 trials are not 1 to 200")],
    ids=["steps", "study"],
)
def test_none_is_not_taken_for_unsaid_in_a_sweep(
    said: list[str],
    message: str,
    tmp_path: Path,
    story: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GPTCORE_HOME", str(tmp_path))
    asked = ["sweep", "--text", story, "--vary", "lr=0.001,0.01", "--budget", "0.001"]
    code, line = refused(capsys, *asked, *said)
    assert code == 2
    assert message in line


def test_a_rate_below_the_presets_minimum_takes_the_minimum_along() -> None:
    arguments = cli._arguments().parse_args(["train", "--preset", "class", "--lr", "1e-5"])
    assert commands._settings(arguments).min_lr == 1e-5
