"""What is declared under a name: by this package, or by another one through an entry point.

A package of yours declares a loss family, a dataset or a model as ours are declared, and names the declaration in its
``pyproject.toml``; `margin_core.losses`, `margin_core.data` and `margin_core.models` find it from there. On a cluster such a package
must be installed on every node.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Protocol, TypeVar


class Declaration(Protocol):
    """A record that tells its name."""

    @property
    def name(self) -> str:
        """The name that it is looked up by."""
        ...


GROUPS = ("margin_core.families", "margin_core.datasets", "margin_core.models")
D = TypeVar("D", bound=Declaration)


class Declarations(Generic[D]):
    """Our declarations of one kind, and those of other packages: listed from their metadata, imported when they are asked for.

    Args:
        group: The group of entry points, ``margin_core.families`` say.
        kind: What is declared, in prose, for messages.
        record: The class that a declaration must be of.
        ours: The declarations of this package, in the order in which they are listed. No other package takes their names.

    Attributes:
        ours: The declarations of this package by name.
    """

    def __init__(self, group: str, kind: str, record: type[D], ours: Iterable[D]) -> None:
        self.group = group
        self.kind = kind
        self.record = record
        self.ours = {declaration.name: declaration for declaration in ours}
        self._loaded: dict[str, D] = {}

    @cached_property
    def _named(self) -> dict[str, list[EntryPoint]]:
        """The entry points of each name; where all is well there is one, and the name is none of ours."""
        named: dict[str, list[EntryPoint]] = {}
        for entry_point in entry_points(group=self.group):
            named.setdefault(entry_point.name, []).append(entry_point)
        return dict(sorted(named.items()))

    def names(self) -> list[str]:
        """Every name, ours first. Nothing is imported for it, so a name stands here whether or not its declaration can be had."""
        return [*self.ours, *(name for name in self._named if name not in self.ours)]

    def find(self, name: str) -> D | None:
        """The declaration called ``name``, or None where nobody declares it.

        Raises:
            ValueError: Where another package declares it and it cannot be had; one sentence names the package, the entry point and why.
        """
        if name in self.ours:
            return self.ours[name]
        if name not in self._loaded and name in self._named:
            self._loaded[name] = self._load(name)
        return self._loaded.get(name)

    def all(self) -> tuple[list[D], list[str]]:
        """Every declaration that can be had, ours first, and a sentence for each of other packages that cannot."""
        found, faults = list(self.ours.values()), []
        for name, declared in self._named.items():
            if name in self.ours:
                faults += [f"{self._called(entry_point)} is not used: the name is one of margin-studies' own" for entry_point in declared]
                continue
            try:
                found += filter(None, [self.find(name)])
            except ValueError as error:
                faults.append(str(error))
        return found, faults

    def _load(self, name: str) -> D:
        entry_point, *others = self._named[name]
        if others:
            packages = " and ".join(sorted(map(_package, self._named[name])))
            raise ValueError(f"{self.kind} {name!r} is declared by more than one package, {packages}; only one of them can be installed")
        called = self._called(entry_point)
        try:
            declaration = entry_point.load()
        except Exception as error:  # whatever that package's own code raises
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"{called} cannot be imported: {cause}") from error
        if not isinstance(declaration, self.record):
            raise ValueError(f"{called} must be a {self.record.__name__}, got {type(declaration).__name__}")
        if declaration.name != name:
            raise ValueError(f"{called} declares another name, {declaration.name!r}; the two must be the same")
        return declaration

    def _called(self, entry_point: EntryPoint) -> str:
        return f"{self.kind} {entry_point.name!r} of the package {_package(entry_point)} (entry point {entry_point.value} in {self.group})"


def other_packages() -> dict[str, str]:
    """The packages, other than this one, that declare a family, a dataset or a model, and their versions."""
    declared = [entry_point.dist for group in GROUPS for entry_point in entry_points(group=group)]
    return {package.name: package.version for package in declared if package is not None}


def _package(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else "unknown"
