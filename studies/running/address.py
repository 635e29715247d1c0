"""Whether a Ray cluster answers, looked at without importing Ray."""

from __future__ import annotations

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
