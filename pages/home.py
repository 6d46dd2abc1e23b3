"""Home: a recorded run as a time machine."""

import streamlit as st

from pages._ui import frame

frame.lesson("home")
st.write("hello")
frame.next_lesson("home")
