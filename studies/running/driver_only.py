"""What lives in the driver alone."""

from __future__ import annotations


class DriverOnly:
    """Keeps an object out of Ray Tune's own experiment state.

    Ray Tune pickles what it is given so that it could restore a run by itself. A study is resumed from its ledger instead, and its
    searcher, callback and stopper hold things that cannot be copied, such as the open ledger; so Ray is given an empty object to keep.
    """

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()
