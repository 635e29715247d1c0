"""Which families are tested, and over what each test runs: families, their knobs, their options, or their formulas."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import ClassVar, TypeVar

import pytest

from margin_core.losses.family import Family
from margin_core.testing.exact import Formula

Test = TypeVar("Test", bound=Callable[..., None])


def only(which: Callable[..., bool]) -> Callable[[Test], Test]:
    """Run a test over the cases for which ``which`` holds."""

    def mark(test: Test) -> Test:
        test.only = which  # type: ignore[attr-defined]  # read by pytest_generate_tests
        return test

    return mark


class FamilyCases:
    """Gives a test that takes a ``family``, a ``knob``, a ``choice`` of an option or a ``formula`` one case for each.

    Attributes:
        families: The families that are tested.
        moves_no_gradient: Family and knob, by name, of each knob that shifts the loss and moves no gradient.
        changes_nothing: Family and option, by name, of each option that changes nothing in the loss itself.
        formulas: Of families by name the formula in mpmath's numbers, called as ``formula(x, y, at, **settings)`` for the scores ``x`` of
            one sample and its target ``y``. The settings are all knobs, what the family ``needs``, its ``norms``, and each option that the
            formula has an argument for. ``at`` is ``x`` undisturbed: what passes no gradient, such as which competitor is the hardest, is
            chosen there.
    """

    families: ClassVar[Sequence[Family]] = ()
    moves_no_gradient: ClassVar[Collection[tuple[str, str]]] = ()
    changes_nothing: ClassVar[Collection[tuple[str, str]]] = ()
    formulas: ClassVar[Mapping[str, Formula]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Called by pytest for each test of the class."""
        if not self.families:
            raise ValueError(f"{type(self).__name__}.families must name at least one family")
        for name in self.formulas:
            if name not in {family.name for family in self.families}:
                raise ValueError(f"{type(self).__name__}.formulas has {name!r}, which is none of its families")
        which = getattr(metafunc.function, "only", lambda *case: True)
        for arguments, cases in (
            (("family", "knob"), self._knobs),
            (("family", "option", "choice"), self._choices),
            (("family", "formula", "options"), self._formulas),
            (("family",), self._families),
        ):
            if set(arguments) <= set(metafunc.fixturenames):
                metafunc.parametrize(arguments, [pytest.param(*case, id=name) for name, case in cases() if which(*case)])
                return

    def _families(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        for family in self.families:
            yield family.name, (family,)

    def _knobs(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        for family in self.families:
            for knob in family.knobs:
                yield f"{family.name}.{knob.name}", (family, knob)

    def _choices(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        for family in self.families:
            for option in family.options:
                for choice in option.choices:
                    if choice != option.default:
                        yield f"{family.name}.{option.name}={choice}", (family, option, choice)

    def _formulas(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        for family in self.families:
            if family.name in self.formulas:
                formula = self.formulas[family.name]
                told = [option for option in family.options if option.name in inspect.signature(formula).parameters]
                for choices in itertools.product(*(option.choices for option in told)):
                    options = {option.name: choice for option, choice in zip(told, choices, strict=True)}
                    yield "-".join([family.name, *choices]), (family, formula, options)
