"""The way in: the frame around all lessons, and what is started once per server."""

from pages._ui import frame, startup

page = frame.enter()
if page.url_path:  # home, whose path is empty, has something to show before PyTorch is there
    startup.wait_for_torch()
page.run()
startup.begin()
