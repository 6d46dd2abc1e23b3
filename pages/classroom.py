"""Class board: everybody's curves side by side, the queue, and the way to each run; in a class and for its teacher."""

from collections import Counter

import streamlit as st

from gptcore.address import qr_image
from gptcore.classroom import NICKNAME_SIGNS, Member, Row, board
from gptcore.figures.classroom import classroom_figure
from gptcore.runs.queue import turns
from pages._ui import challenges, charts, classmates, frame, head, teach, teaching

frame.lesson("classroom")


@st.fragment(run_every=classmates.LOOK_SECONDS)
def everybody(me: Member | None) -> None:
    """All curves and who trains what, drawn anew every few seconds."""
    if challenges.has_changed():
        st.rerun()
    seen = classmates.look()
    mine = f"You are {frame.plain(me.label)}. " if me else ""
    if not seen.rows:
        st.info(f"{mine}Nobody in this class has begun a run yet: each appears here as soon as it is submitted.")
        return
    states = Counter(row.state for row in seen.rows)
    best = min((row for row in seen.rows if row.best is not None), key=lambda row: row.best or 0.0, default=None)
    said = ", ".join(f"{number} {state}" for state, number in states.most_common())
    lowest = (
        "" if best is None else f" The lowest validation loss so far is {best.best:.2f}, {frame.plain(best.label)}."
    )
    people = classmates.people(len(seen.rows))
    st.markdown(f"{mine}{people}: {said}.{lowest}" + _left_out(seen.more))
    alt = f"Learning curves of {people}, a cell each: {said}."
    with classmates.wide_enough(len(seen.rows)):
        charts.draw(st, seen.figure, key="classroom_curves", alt=alt)
    st.dataframe(
        classmates.table(seen.rows),
        hide_index=True,
        key="classroom_table",
        placeholder="",  # who waits for nothing has no place in the queue
        column_config={
            "run": st.column_config.LinkColumn(display_text="Watch", help="Opens beside this page; read only."),
            "steps": st.column_config.Column(width=120),
            "best validation loss": st.column_config.NumberColumn(format="%.3f"),
            "seconds to wait": st.column_config.NumberColumn(format="%.0f"),
        },
    )
    _machines(seen.rows)
    st.caption(f"Reading the runs and drawing took {seen.seconds * 1000:.0f} ms, once for all who look.")


def _machines(rows: list[Row]) -> None:
    """Where the runs are trained, in a lab of several machines."""
    now = classmates.elsewhere()
    if now is None:
        return
    if now.why_not is not None:
        st.warning(f"No run is trained until the other machines are back: {frame.plain(now.why_not)}.")
        return
    column = {"memory, GiB": st.column_config.NumberColumn(format="%.0f")}
    st.dataframe(classmates.machines(now, rows), hide_index=True, key="classroom_machines", column_config=column)


def _left_out(more: int) -> str:
    return f" {more:,} more have no room here." if more else ""


def _nickname(me: Member) -> None:
    """A name for the board, for whoever wants one."""
    st.session_state["classroom_nickname"] = me.nickname  # a visit that is recognised late has had another seat
    st.text_input(
        "A nickname for the board, if you like",
        max_chars=NICKNAME_SIGNS,
        key="classroom_nickname",
        help="Everybody in the class sees it. Leave it empty and you stay a number.",
        on_change=_rename,
    )


def _rename() -> None:
    classmates.sit_down(st.session_state["classroom_nickname"] or "")


def _teacher() -> None:
    """The link to the class, the way to stop a run, and the challenge."""
    with st.container(horizontal=True, gap="small"):
        link = st.popover("Link to the class", icon=":material/link:", key="classroom_link", on_change="rerun")
        stop = st.popover("Cancel a run", icon=":material/stop:", key="classroom_stop", on_change="rerun")
        held = st.popover("Challenge", icon=":material/lock:", key=challenges.BOX, on_change="rerun")
    for box, fill in ((link, _link), (stop, _stop), (held, challenges.teacher)):
        if box.open:
            with box:
                fill()


def _link() -> None:
    """Whoever opens the link is in the class; without one, a class can be begun."""
    key = teaching.register().key
    if key:
        address = f"{head.base().removesuffix('/classroom')}/?v=1&class={key}"
        st.image(qr_image(address), width=280, alt="QR code of the link below")
        st.code(address, language=None, wrap_lines=True)
        st.caption(
            f"Whoever opens it has a seat and sees this board, and every run on it with its text. `&class={key}` may "
            "follow any lesson's link. With `&follow=1` behind it, that screen goes to each run that you begin while "
            "you present with *Follow my run* on."
        )
    label = "Begin another class" if key else "Begin a class"
    st.button(label, key="classroom_begin", on_click=classmates.begin_class, help="A new link, and empty seats.")


def _stop() -> None:
    """Runs that go on or wait, as they are now."""
    live = {row.run.id: row for row in classmates.look().rows if row.is_live}
    if not live:
        st.caption("No run goes on or waits.")
        return

    def named(run_id: str) -> str:
        row: Row = live[run_id]
        return f"{row.label}: {row.state}, {row.done:,} steps done"

    chosen = st.selectbox("Whose run", list(live), format_func=named, key="classroom_whose")
    if chosen in live:
        st.button("Ask it to stop", key="classroom_cancel", on_click=classmates.cancel, args=(live[chosen],))


if teaching.is_teacher() or teaching.in_class():
    seat = classmates.sit_down()
    if teaching.is_teacher():
        _teacher()
    challenges.beside(lambda: everybody(seat))
    if seat:
        _nickname(seat)
    frame.notice(
        "All cells have one scale, so that they can be compared at a glance; a curve that leaves its cell at the top "
        "is above everybody's beginning.",
        "Losses of different texts or vocabularies are different exams: only runs on the same text can be ranked.",
    )
else:
    st.info("This board belongs to a class. Open it by the link that the teacher shows.")
    if not teaching.has_code():
        st.caption("On this server nobody can show one yet: it needs a `code` in the table `teaching` of its secrets.")
    teach.code()
st.page_link(frame.page_file("training"), label="To the training page", icon=":material/show_chart:")
frame.code_behind(board, *challenges.code(), turns, classroom_figure)
