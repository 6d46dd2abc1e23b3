"""What all lessons share: the menu, the head with the thread strip, the code behind a chart, and the way on.

A lesson is opened by ``lesson(key)`` as its first line and closed by ``code_behind(...)`` and ``next_lesson(key)``.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from gptcore.paths import ASSETS
from pages._ui import charts, follow, head, locks, owner, present, share, teaching, thread, tour


class Lesson(NamedTuple):
    """One page: where it stands in the menu, and the question it answers."""

    key: str
    section: str
    title: str
    icon: str
    chapter: str
    question: str


LESSONS = (
    Lesson("home", "", "Home", "home", "", "A GPT guesses the next token. Watch one learn."),
    Lesson("tokens", "Data", "Tokens", "view_week", "chapter 2", "What does a model read, if not words?"),
    Lesson("bpe", "Data", "BPE", "merge", "chapter 2", "How is a token built?"),
    Lesson("windows", "Data", "Windows", "splitscreen", "chapter 2", "How does one text become hundreds of exercises?"),
    Lesson("parameters", "Model", "Parameters", "account_tree", "chapter 4", "Where do a model's numbers sit?"),
    Lesson(
        "forward",
        "Model",
        "Forward pass",
        "conversion_path",
        "chapters 3-4",
        "What happens between a prompt and the next token?",
    ),
    Lesson("loss", "Model", "Loss", "target", "chapter 5", "How wrong is a guess, as one number?"),
    Lesson("training", "Learning", "Training", "show_chart", "chapter 5", "What happens while a model learns?"),
    Lesson("overfitting", "Learning", "Over-fitting", "call_split", "chapter 5", "When does learning become reciting?"),
    Lesson("memory", "Learning", "Memory", "psychology", "chapter 5", "What has it learnt by heart?"),
    Lesson("clinic", "Learning", "Curve clinic", "stethoscope", "chapter 5", "Is this curve normal?"),
    Lesson("compare", "Learning", "Compare", "compare_arrows", "chapter 5", "What did this setting change?"),
    Lesson("floor", "Learning", "Floor", "vertical_align_bottom", "chapter 5", "How low can a loss go?"),
    Lesson("sampling", "Talking", "Sampling", "casino", "chapter 5", "How does a list of scores become a text?"),
    Lesson("pretrained", "Talking", "GPT-2", "download", "chapter 5", "Same code, other weights: what changes?"),
)
CODE = "frame_code"  # whether the box of sources is open
PLAN = "plan"  # a page of its own outside the menu
# No lesson: it stands in no thread, and in the menu of a class and its teacher alone.
CLASSROOM = Lesson("classroom", "Class", "Class board", "groups", "", "What is everybody's model learning?")


def page_file(key: str) -> str:
    """The page's file, as Streamlit's navigation and links name it."""
    return f"pages/{key}.py"


def _menu() -> StreamlitPage:
    """Name the window, then draw the menu.

    The window gets an icon of our own: a page's icon would be fetched from a font host by each browser.
    """
    st.set_page_config(page_title="Glassbox GPT", page_icon=str(ASSETS / "icon.png"), layout="wide")
    return st.navigation(_pages())


def _pages() -> dict[str, list[StreamlitPage]]:
    sections: dict[str, list[StreamlitPage]] = {}
    for lesson in (*LESSONS, CLASSROOM):
        title = f"{lesson.title} · {lesson.chapter}" if lesson.chapter else lesson.title
        page = st.Page(
            page_file(lesson.key),
            title=title,
            icon=f":material/{lesson.icon}:",
            url_path=lesson.key if lesson.section else None,
            default=not lesson.section,
            visibility="visible" if lesson is not CLASSROOM or _sees_board() else "hidden",
            help=lesson.question,
        )
        sections.setdefault(lesson.section, []).append(page)
    sections[""].append(st.Page(page_file(PLAN), title="Lesson plan", url_path=PLAN, visibility="hidden"))
    return sections


def _sees_board() -> bool:
    return teaching.is_teacher() or teaching.in_class()


def enter() -> StreamlitPage:
    """Draw the frame and find the page that was asked for; called by app.py at every run."""
    st.session_state["entered"] = True
    return _menu()


def come_in() -> None:
    """See that a page is run through app.py: the first line of each page, and of each lesson within ``lesson``.

    On a fresh server the first request for a page's own address runs that page without app.py. It then gets the menu
    here and starts again, this time through app.py.
    """
    if not st.session_state.pop("entered", False):
        _menu()
        st.rerun()


def lesson(key: str) -> None:
    """Open a lesson: the tour's stop where one is on, thread strip, title, question."""
    come_in()
    about = next(lesson for lesson in (*LESSONS, CLASSROOM) if lesson.key == key)
    charts.begin()
    follow.depart()
    if (first := teaching.first_lesson()) and key == LESSONS[0].key != first:
        st.switch_page(page_file(first))
    share.open_link(key)
    teaching.keep()
    locks.hold(key)
    tour.bar(key)
    thread.strip(key)
    owner.recognise()
    with st.container(horizontal=True, vertical_alignment="center", key="lesson-head"):
        st.header(about.question, anchor=False)
        if present.is_on():
            present.bar(key, _walk(key))
        else:
            head.buttons(key)
    if present.is_on():
        present.beneath(key)
    follow.of_the_class(key)
    if said := share.notes(key):
        st.warning(" ".join(f"{plain(sentence)}." for sentence in said), icon=":material/link:")
        st.button("Understood", key="share_understood", type="tertiary", on_click=share.understood)


def _walk(key: str) -> list[str]:
    """The lessons that a presenter's keys walk; the board is one of them for whoever may see it."""
    return [
        lesson.key for lesson in (*LESSONS, CLASSROOM) if lesson is not CLASSROOM or key == lesson.key or _sees_board()
    ]


def code_behind(*functions: Callable[..., Any]) -> None:
    """Show the very functions that ran for this page, which is drawn by now: so a link is done with, too."""
    share.confirm()
    locks.remember()
    _sources(functions)
    charts.take_home()


@st.fragment
def _sources(functions: Sequence[Callable[..., Any]]) -> None:
    """Draw the sources while their box is open: what colours them is 1.5 MB of script, more than all else on home."""
    box = st.expander("The code behind this page", icon=":material/code:", key=CODE, on_change="rerun")
    if not box.open:
        return
    with box:
        for function in functions:
            name, source = _source(function)
            st.caption(f"`{name}`")
            st.code(source, language="python")


@cache  # as many entries as functions are shown; reading a file anew would cost milliseconds at every look
def _source(function: Callable[..., Any]) -> tuple[str, str]:
    """A function's full name and its source text."""
    inner = inspect.unwrap(function)
    return f"{inner.__module__}.{inner.__qualname__}", textwrap.dedent(inspect.getsource(inner))


def plain(text: str) -> str:
    """A text that may hold a student's words, its signs escaped: markdown shows it letter by letter."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def refuse(error: Exception, then: str = "") -> None:
    """Show why something was refused: the error's own sentence, and what holds instead."""
    sentence = str(error).rstrip(".")
    if "=" not in sentence.partition(" ")[0]:  # a field's name begins as it is written
        sentence = sentence[:1].upper() + sentence[1:]
    st.error(f"{plain(sentence)}. {then}")


def notice(*sentences: str) -> None:
    """What to notice: two or three sentences with live numbers in them."""
    st.markdown("**What to notice.** " + " ".join(sentences))


def next_lesson(key: str) -> None:
    """The link to the lesson in which the thread goes on."""
    keys = [lesson.key for lesson in LESSONS]
    following = LESSONS[(keys.index(key) + 1) % len(LESSONS)]
    st.page_link(
        page_file(following.key), label=f"Next: {following.question}", icon=":material/arrow_forward:", width="stretch"
    )
