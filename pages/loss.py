"""loss"""

import streamlit as st

from pages._ui import frame

frame.lesson("loss")
st.write("hello")
frame.next_lesson("loss")
