"""The frame around all lessons: the window's title, the menu, and what is started once per server."""

import streamlit as st

from pages._ui import frame, startup

st.set_page_config(page_title="Glassbox GPT", page_icon=frame.ICON, layout="wide")
page = frame.enter()
if page.url_path:  # home, whose path is empty, has something to show before PyTorch is there
    startup.wait_for_torch()
page.run()
startup.begin()
