"""What papers report of a loss (`Reported`): figures to expect, declared beside the formula together with the table that they are from.

A table of which several families show a part stands here with its head and its row of cross-entropy; the families add theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Reported:
    """A table of figures as a paper prints them, or the part of one that is about the family: the paper's measurements, not ours.

    Args:
        what: What was measured, of which network, in which unit.
        source: Paper and table, or section.
        columns: What heads each column.
        rows: The rows, each with an entry for every column.
    """

    what: str
    source: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def with_rows(self, *rows: tuple[str, ...]) -> Reported:
        """The same table with ``rows`` after those it has."""
        return replace(self, rows=(*self.rows, *rows))


LARGEST_MARGINS = "Zhou et al., Learning Towards the Largest Margins, ICLR 2022"

LARGEST_MARGINS_TABLE_1 = Reported(
    what="Test accuracy in percent and class margin",
    source=f"{LARGEST_MARGINS}, table 1",
    columns=("loss", "MNIST: accuracy", "margin", "CIFAR-10: accuracy", "margin", "CIFAR-100: accuracy", "margin"),
    rows=(("cross-entropy", "99.11", "87.39°", "94.12", "81.73°", "74.56", "65.38°"),),
)
LARGEST_MARGINS_TABLE_2 = Reported(
    what="Test accuracy in percent and class margin on CIFAR-10 made unbalanced, with long tails or one step, the ratio as given",
    source=f"{LARGEST_MARGINS}, table 2",
    columns=(
        "loss",
        "tails 100: accuracy",
        "margin",
        "tails 10: accuracy",
        "margin",
        "step 100: accuracy",
        "margin",
        "step 10: accuracy",
        "margin",
    ),
    rows=(("cross-entropy", "70.88", "77.41°", "88.17", "79.63°", "62.21", "76.50°", "85.06", "82.24°"),),
)
LARGEST_MARGINS_TABLE_3 = Reported(
    what="Person re-identification in percent",
    source=f"{LARGEST_MARGINS}, table 3",
    columns=("loss", "Market-1501: mAP", "rank 1", "DukeMTMC: mAP", "rank 1"),
    rows=(("cross-entropy", "82.8", "92.7", "73.0", "83.5"),),
)
