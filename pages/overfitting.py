"""overfitting"""

import streamlit as st

from pages._ui import frame

frame.lesson("overfitting")
st.write("hello")
frame.next_lesson("overfitting")
