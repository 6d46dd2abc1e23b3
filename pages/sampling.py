"""sampling"""

import streamlit as st

from pages._ui import frame

frame.lesson("sampling")
st.write("hello")
frame.next_lesson("sampling")
