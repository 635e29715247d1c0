"""Where Ray is: whether a cluster answers, and that one of this machine alone listens to no other. Without importing Ray."""

from __future__ import annotations

import os
import socket


def check_address(address: str | None) -> None:
    """Raise `ConnectionError` with one sentence where no Ray cluster answers at ``address``, before anything starts."""
    if address is None or address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConnectionError(f"--address must be HOST:PORT, ray://HOST:PORT, auto or local, got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no Ray cluster answers at {address!r}: {getattr(error, 'strerror', None) or error}") from error


def keep_to_this_machine(address: str | None) -> None:
    """Let a Ray that is to be started here listen at the loopback address alone; to be called before Ray is first imported.

    Ray's processes otherwise listen at every address of the machine, and who reaches them can run programs. The variable is Ray's own
    for Windows and macOS, where it does so of itself.
    """
    if address in (None, "local"):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
