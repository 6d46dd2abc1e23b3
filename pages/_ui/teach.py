"""What a teacher needs to begin: the address for the class, the way to a projector, and what a link can hold."""

from __future__ import annotations

import streamlit as st

from gptcore.address import PORT, network_address, qr_image
from pages._ui import present, teaching

LEVERS = """
Every lesson has *Copy link*: thirty screens then show your numbers. What you write behind such a link holds for who
opens it:

- `&lock=sampling_seed` or `&lock=all`: controls that can be seen, not moved
- `&hide=training_text`: controls that are not shown
- `&most_steps=300&most_parameters=2000000&most_minutes=5`: the largest run, and the longest
- `&present=1`: for the projector
- `&follow=1`, behind the link to a class: such screens go to each run that you begin while you present with *Follow my
  run* on

A control's name is the one that it has in a link. The same names in the table `teaching` of the server's secrets hold
for everybody, with `begin = "tokens"` for the lesson to start at.
"""


def part() -> None:
    """Draw the part behind "I teach"; what is in it is worked out only while it is open."""
    box = st.popover("I teach", icon=":material/school:", key="teach_box", on_change="rerun")
    if not box.open:
        return
    with box:
        address = network_address(st.get_option("server.port") or PORT, st.get_option("server.address") or "")
        if address is None:
            st.caption("This machine has no network address that others could open.")
        else:
            st.markdown("The address for the class, as long as they are in the same network:")
            st.code(address, language=None)
            st.image(qr_image(address), width=240, alt="QR code of the address above")
        st.button("Present", icon=":material/slideshow:", key="teach_present", on_click=present.begin)
        st.caption("Arrow keys or a clicker walk from lesson to lesson; Escape leaves.")
        code()
        st.markdown(LEVERS)


def code() -> None:
    """Take the teacher's code, where this server has one; nobody else is asked for anything."""
    if teaching.is_teacher():
        st.caption("You are the teacher of this visit: no lever holds you, and the class board is in the menu.")
    elif teaching.has_code():
        typed = st.text_input("Teacher's code", type="password", key="teach_code", max_chars=200)
        if typed and teaching.give_code(typed):
            st.rerun()
        if typed:
            st.error("That is not the teacher's code of this server.")
