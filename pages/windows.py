"""windows"""

import streamlit as st

from pages._ui import frame

frame.lesson("windows")
st.write("hello")
frame.next_lesson("windows")
