"""A student without a browser: speaks Streamlit's own protocol, clicks the button, polls as the page tells it to.

A browser costs half a core; thirty of them could not run beside what they measure. The messages are the installed
Streamlit's own protobuf classes. Only the loopback address is ever asked.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

ANSWER_SECONDS = 120
MESSAGE_BYTES = 64 * 2**20
FINISHED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


@dataclass
class Student:
    """One session on one page.

    Attributes:
        page: The page's name in the address.
        run: The run that the address names, where it names one.
        link: What else the address says, as a shared link has it.
        buttons: Ids of the buttons met so far; each ends with the button's key.
        captions: Small print on screen since the last answer.
        chart: What a screen reader is told of the last chart.
        faults: Exceptions that the page showed.
        answers: Seconds that the server took for each poll.
        parts: Elements of each kind, and blocks, that the last answer drew.
    """

    port: int
    page: str
    run: str = ""
    link: str = ""
    buttons: set[str] = field(default_factory=set)
    captions: list[str] = field(default_factory=list)
    chart: str = ""
    faults: list[str] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    parts: Counter[str] = field(default_factory=Counter)
    _known: dict[str, ForwardMsg] = field(default_factory=dict)
    _kept: dict[str, ForwardMsg] = field(default_factory=dict)
    _fragments: dict[str, float] = field(default_factory=dict)
    _hash: str = ""
    _socket: Any = None

    async def __aenter__(self) -> Self:
        address = f"ws://127.0.0.1:{self.port}/_stcore/stream"
        self._socket = await websockets.connect(
            address,
            subprotocols=[websockets.Subprotocol("streamlit")],
            max_size=MESSAGE_BYTES,
            ping_interval=None,
            open_timeout=ANSWER_SECONDS,
        )
        await self._ask()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def click(self, key: str) -> None:
        """Press a button, and wait until the page is drawn anew."""
        name = next(widget for widget in self.buttons if widget.endswith(key))
        await self._ask(pressed=name)

    async def look_again(self) -> None:
        """Have the whole page drawn anew, as a moved control does."""
        await self._ask()

    async def go_to(self, page: str) -> None:
        """Open another page in the same visit."""
        self.page, self._hash = page, ""
        self.buttons.clear()
        await self._ask()

    async def poll(self) -> None:
        """Let every part of the page that asks for it be drawn again, once, as a browser does at its interval."""
        for fragment in list(self._fragments):
            began = time.perf_counter()
            await self._ask(fragment=fragment)
            self.answers.append(time.perf_counter() - began)

    @property
    def interval(self) -> float | None:
        """Seconds between two polls; None when the page no longer asks for any."""
        return min(self._fragments.values(), default=None)

    async def _ask(self, pressed: str | None = None, fragment: str | None = None) -> None:
        message = BackMsg()
        message.rerun_script.page_script_hash = self._hash
        if not self._hash:
            message.rerun_script.page_name = self.page
        message.rerun_script.query_string = f"run={self.run}" if self.run else self.link
        if fragment:
            message.rerun_script.fragment_id = fragment
            message.rerun_script.is_auto_rerun = True
        else:
            self._fragments.clear()
        if pressed:
            message.rerun_script.widget_states.widgets.append(WidgetState(id=pressed, trigger_value=True))
        self._known, self._kept = self._kept, self._kept if fragment else {}
        message.rerun_script.cached_message_hashes.extend(self._known)
        self.captions.clear()
        self.parts.clear()
        await self._socket.send(message.SerializeToString())
        while not self._read(await asyncio.wait_for(self._socket.recv(), ANSWER_SECONDS)):
            pass

    def _read(self, raw: bytes) -> bool:
        """Note one message; whether it was the last of an answer."""
        message = ForwardMsg.FromString(raw)
        if message.WhichOneof("type") == "ref_hash":  # a large message that is here from the last time, as a browser's
            message = self._known[message.ref_hash]
        if message.metadata.cacheable and self._kept is not self._known:  # what polls bring is another each time
            self._kept[message.hash] = message
        kind = message.WhichOneof("type")
        if kind == "navigation":
            self._hash = message.navigation.page_script_hash
        elif kind == "auto_rerun":
            self._fragments[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._note(message.delta.new_element)
        elif kind == "delta" and message.delta.WhichOneof("type") == "add_block":
            self.parts["block"] += 1
        if kind != "script_finished":
            return False
        if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            self._fragments.clear()  # the page is drawn anew
        return message.script_finished in FINISHED

    def _note(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        self.parts[kind] += 1
        if kind == "button":
            self.buttons.add(element.button.id)
        elif kind == "markdown":
            self.captions.append(element.markdown.body)
        elif kind == "plotly_chart":
            self.chart = element.plotly_chart.alt
        elif kind == "exception":
            self.faults.append(f"{element.exception.type}: {element.exception.message[:200]}")


async def visit(port: int, *pages: str, link: str = "") -> None:
    """Open pages, one after the other, in one visit.

    Raises:
        RuntimeError: A page shows an error.
    """
    first, *rest = pages
    async with Student(port, first, link=link) as student:
        for page in rest:
            await student.go_to(page)
        await student.look_again()
        if student.faults:
            raise RuntimeError(f"a page shows {student.faults}")
