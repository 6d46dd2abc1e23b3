"""pretrained"""

import streamlit as st

from pages._ui import frame

frame.lesson("pretrained")
st.write("hello")
frame.next_lesson("pretrained")
