"""What a trial's process that is about to end leaves for the driver: why. Ray itself tells no more than that it is gone.

Notes go through the key-value store of Ray's head, so that they arrive from any node and outlive their process.
"""

from __future__ import annotations

import json

from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_initialized, _internal_kv_put

from studies.failures import Cause

_NAMESPACE = "margin-studies"


def leave_note(about: str, cause: Cause, told: str) -> None:
    """Leave a note about a trial's end; without Ray there is nobody to read it."""
    if _internal_kv_initialized():  # type: ignore[no-untyped-call]
        _internal_kv_put(about, json.dumps([cause, told]), namespace=_NAMESPACE)


def take_note(about: str) -> tuple[Cause, str] | None:
    """The note about a trial's end, which is then gone; None where none was left."""
    if not _internal_kv_initialized():  # type: ignore[no-untyped-call]
        return None
    note = _internal_kv_get(about, namespace=_NAMESPACE)
    if note is None:
        return None
    _internal_kv_del(about, namespace=_NAMESPACE)
    cause, told = json.loads(note)
    return cause, told
