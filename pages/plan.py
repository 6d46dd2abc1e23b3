"""A lesson's plan on a page to print: what to do in how many minutes, with this class's numbers and questions.

It stands in no menu: home leads here, and ``?plan=loss`` opens the plan of one lesson.
"""

import streamlit as st

from pages._ui import frame, plans, quiz, share, teaching, thread, thread_numbers
from pages._ui.predict import Question

PRINTED = """<style>
@media print {
  [data-testid="stSidebar"], [data-testid="stHeader"], .st-key-plan-controls { display: none; }
  [data-testid="stMain"] { overflow: visible; }
  [data-testid="stMarkdown"] { break-inside: avoid; }
}
</style>"""

frame.come_in()
share.open_link(frame.PLAN)
teaching.keep()


def _controls() -> tuple[str, bool]:
    """Which plan, and whether with the answers."""
    titles = {lesson.key: f"{lesson.title} · {plans.minutes(lesson.key)} minutes" for lesson in frame.LESSONS}
    asked = st.query_params.get("plan", "")
    with st.container(horizontal=True, vertical_alignment="bottom", key="plan-controls"):
        key = st.selectbox(
            "Lesson plan",
            list(titles),
            index=list(titles).index(asked) if asked in titles else 0,
            format_func=titles.__getitem__,
            key="plan_lesson",
            width=320,
        )
        with_answers = st.toggle("With the answers", key="plan_answers", help="For the teacher's copy.")
        st.page_link(frame.page_file(key), label="Open the lesson", icon=":material/arrow_forward:")
        st.caption(f"Print with Ctrl P (on a Mac ⌘ P). All plans together take {_hours()}.")
    st.query_params["plan"] = key
    return key, with_answers


def _hours() -> str:
    total = sum(plans.minutes(lesson.key) for lesson in frame.LESSONS)
    return f"{total // 60} hours {total % 60} minutes"


def _class_numbers(numbers: thread_numbers.Numbers) -> None:
    """The thread of this class as one table."""
    said = numbers.words()
    st.markdown(f"**This class's numbers** · {frame.plain(numbers.title)}, {numbers.whose}")
    st.table(
        {
            "text": [f"{said['characters']} characters"],
            "tokens": [said["tokens"]],
            "windows": [f"{said['windows']} of {said['context']}"],
            "parameters": [said["parameters"]],
            "best validation loss": [f"{said['best']} nats, step {said['best_step']}"],
            "at the end": [f"{said['last_train']} training, {said['last']} validation"],
        },
        border="horizontal",
        hide_index=True,
        alt="The thread from text to loss.",
    )


def _printed(number: int, question: Question, with_answer: bool) -> str:
    """A question as a sheet of paper asks it."""
    boxes = " ".join(f"☐ {option}" for option in question.options) or "______"
    answer = question.answer if isinstance(question.answer, str) else f"{question.answer:,}"
    told = f"  \n**{answer}.** {question.why}" if with_answer else ""
    return f"{number}. {question.text}  \n{boxes}{told}"


def _questions(lesson: str, with_answers: bool) -> None:
    """The lesson's own questions, whose answers are this class's numbers."""
    try:
        asked = quiz.BANK[lesson]() if lesson in quiz.BANK else []
    except ValueError as error:
        frame.refuse(error)
        return
    if asked:
        st.markdown("**Predict first**, as the lesson asks it with this class's numbers")
        st.markdown("\n".join(_printed(number, each, with_answers) for number, each in enumerate(asked, 1)))


st.html(PRINTED)
lesson, with_answers = _controls()
numbers = thread_numbers.now()
thread.keep()
about = next(each for each in frame.LESSONS if each.key == lesson)
st.header(f"{about.title}: {about.question}", anchor=False)
plan = plans.read(lesson, numbers)
first, second = st.columns([3, 2], gap="medium")
for heading in plans.HEADINGS:
    with second if heading in ("Questions", "What goes wrong") else first:
        st.markdown(f"**{heading}**\n\n{plan[heading]}")
_class_numbers(numbers)
_questions(lesson, with_answers)
