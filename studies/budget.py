"""What a study and each of its trials may spend: the section ``budget`` of a study file.

How it is counted is left to `studies.spending`, and who stops at a bound to `studies.running`.
"""

from __future__ import annotations

from pydantic import Field

from studies.sections import Section


class TrialBudgetSection(Section):
    """Bounds of each trial. One that reaches them is killed and has failed, or is tried again, as the section ``failures`` says.

    Attributes:
        hours: Wall time while it runs, over all times that it is tried.
        memory_gib: Memory of the machine, in GiB, that belongs to a process of it alone.
        silent_hours: How long nothing may be heard of it, from its start to the first epoch's report or between two reports. By default
            twenty times as long as any trial of its dataset was silent before, and at least an hour; a day before any has reported.
    """

    hours: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    memory_gib: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    silent_hours: float | None = Field(None, gt=0.0, allow_inf_nan=False)


class BudgetSection(Section):
    """Bounds of a whole study, over all of its runs; a study that reaches one ends in order and can be resumed with a larger one.

    Attributes:
        trials: How many trials may begin. Those that a branch took over from its parent count there.
        hours: Wall time of the study's runs; the time between two runs does not count.
        device_hours: Time that trials hold GPUs, or processors where they hold no GPU: two hours on half a GPU are one.
        price: Price of a device-hour, in any currency, for the preview.
        trial: Bounds of each trial.
    """

    trials: int | None = Field(None, ge=1)
    hours: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    device_hours: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    price: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    trial: TrialBudgetSection = TrialBudgetSection()
