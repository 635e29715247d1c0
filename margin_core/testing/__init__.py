"""What every loss family, dataset and model holds, as test classes for pytest: ours pass them, and so should yours.

A class is subclassed in a test file, and told what to test; pytest collects its tests from there::

    from margin_core.testing import FamilyConformance
    from my_losses import poly1


    class TestPoly1(FamilyConformance):
        families = [poly1.FAMILY]

pytest and mpmath are needed besides: ``pip install 'margin-studies[testing]'``.
"""

try:
    import mpmath  # noqa: F401
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"margin_core.testing needs {error.name}, which is not installed: pip install 'margin-studies[testing]'", name=error.name
    ) from error

# Before the modules are imported, so that a failed assertion shows its values.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in ("datasets", "family_behaviour", "family_formulas", "family_numerics", "family_transforms", "models")
    )
)

from margin_core.testing.datasets import DatasetConformance  # noqa: E402
from margin_core.testing.families import FamilyConformance  # noqa: E402
from margin_core.testing.models import ModelConformance  # noqa: E402

__all__ = ["DatasetConformance", "FamilyConformance", "ModelConformance"]
