"""Everything that a loss family holds, in one class to subclass."""

from __future__ import annotations

from margin_core.testing.family_behaviour import FamilyBehaviour
from margin_core.testing.family_formulas import FamilyFormulas
from margin_core.testing.family_numerics import FamilyNumerics
from margin_core.testing.family_transforms import FamilyTransforms


class FamilyConformance(FamilyBehaviour, FamilyNumerics, FamilyTransforms, FamilyFormulas):
    """The tests that every loss family passes; a subclass names the families, and what is special about them.

    Its attributes are those of `family_cases.FamilyCases` and `family_formulas.FamilyFormulas`: ``families``, ``formulas``,
    ``moves_no_gradient``, ``changes_nothing``, ``compile_backend``, ``tolerance`` and ``floor``. Only ``families`` is needed; where a
    family has no formula among ``formulas``, nothing compares its numbers with exact ones.
    """
