"""tokens"""

import streamlit as st

from pages._ui import frame

frame.lesson("tokens")
st.write("hello")
frame.next_lesson("tokens")
