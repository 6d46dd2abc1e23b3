"""Where other machines find this one, and an address as a picture that a telephone reads (a QR code).

How to read it: ``network_address`` asks the system which of its addresses faces the network, without sending anything;
``qr_image`` and ``qr_text`` draw. ``python -m gptcore.address --server.port 8600`` prints both, as ``make run`` does.
What is left out: the codes themselves (segno), and whether a firewall lets anybody through.
"""

from __future__ import annotations

import io
import socket
import sys
from argparse import ArgumentParser

import segno

PORT = 8501  # Streamlit's own
ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104  (recognised here, bound by the web server)
ELSEWHERE = ("10.255.255.255", 1)  # any address that is not this machine's


def network_address(port: int = PORT, listens: str = "") -> str | None:
    """The address to write on the board; None where this machine has no network or listens to itself alone.

    Args:
        port: Of the web server.
        listens: The address that the web server was told to listen at; empty for all of them.

    >>> network_address(listens="127.0.0.1") is None
    True
    """
    host = _facing_the_network() if listens in ANYWHERE else listens
    return None if host is None or host == "localhost" or host.startswith("127.") else f"http://{host}:{port}"


def _facing_the_network() -> str | None:
    """This machine's own address on the way out: a datagram socket looks the way up and sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as looking:
        try:
            looking.connect(ELSEWHERE)
        except OSError:
            return None
        host: str = looking.getsockname()[0]
        return host


def qr_image(address: str) -> bytes:
    """An address as a PNG picture, black on white in any theme, with the margin that cameras need.

    Raises:
        ValueError: It has more signs than such a code can hold.

    >>> qr_image("http://192.168.1.7:8501")[1:4]
    b'PNG'
    """
    image = io.BytesIO()
    segno.make_qr(address, error="l").save(image, kind="png", scale=8, border=4)
    return image.getvalue()


def qr_text(address: str) -> str:
    """An address as lines of blocks for a terminal."""
    lines = io.StringIO()
    segno.make_qr(address, error="l").terminal(lines, border=2, compact=True)
    return lines.getvalue()


def announcement(port: int = PORT, listens: str = "") -> str:
    """What is printed at the start: the address for the class and its code, or why there is none."""
    address = network_address(port, listens)
    if address is None:
        return "  This machine is alone: it has no network address that others could open.\n"
    return f"{qr_text(address)}\n  For the class: {address}\n"


def _main() -> None:
    parser = ArgumentParser(
        prog="python -m gptcore.address", description="print the address for a class", exit_on_error=False
    )
    parser.add_argument("--server.port", dest="port", type=int, default=PORT)
    parser.add_argument("--server.address", dest="listens", default="")
    known, _ = parser.parse_known_args()  # the rest of ARGS is the web server's
    sys.stdout.write(announcement(known.port, known.listens))


if __name__ == "__main__":
    _main()
