"""What a study may spend: the section ``budget`` of a study file.

How it is counted is left to `studies.spending`, and who stops at a bound to `studies.running`.
"""

from __future__ import annotations

from pydantic import Field

from studies.sections import Section


class BudgetSection(Section):
    """Bounds of a whole study, over all of its runs; a study that reaches one ends in order and can be resumed with a larger one.

    Attributes:
        trials: How many trials may begin. Those that a branch took over from its parent count there.
        hours: Wall time of the study's runs; the time between two runs does not count.
        device_hours: Time that trials hold GPUs, or processors where they hold no GPU: two hours on half a GPU are one.
    """

    trials: int | None = Field(None, ge=1)
    hours: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    device_hours: float | None = Field(None, gt=0.0, allow_inf_nan=False)
