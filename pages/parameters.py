"""parameters"""

import streamlit as st

from pages._ui import frame

frame.lesson("parameters")
st.write("hello")
frame.next_lesson("parameters")
