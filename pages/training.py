"""training"""

import streamlit as st

from pages._ui import frame

frame.lesson("training")
st.write("hello")
frame.next_lesson("training")
