"""What has another value in a changed study file: written into a ledger, and told to people. Which differences matter is `extension`'s."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Difference:
    """A key of the study file that has another value.

    Attributes:
        key: Its dotted name; a dataset stands under what the study calls it.
        was: The value before, as plain data; None where there was none.
        now: The value after.
    """

    key: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key}: was {_words(self.was)}, is {_words(self.now)}"


def _words(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
