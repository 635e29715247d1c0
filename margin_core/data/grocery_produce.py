"""The fruit and vegetables of Grocery Store: natural goods, no two of one shape. Its rigid counterpart is ``grocery_packages``.

The classes are those of the groups Fruit (28) and Vegetables (22) in the dataset's own ``classes.csv``, from Golden Delicious to zucchini.
"""

from __future__ import annotations

from margin_core.data import grocery
from margin_core.data.parts import part_of

GROUPS = ("Fruit", "Vegetables")

SOURCE = part_of(
    grocery.SOURCE,
    lambda dataset: grocery.classes_in(dataset, GROUPS),
    name="grocery_produce",
    title=f"{grocery.SOURCE.title}, fruit and vegetables",
    num_classes=50,
    examples=3676,
    mean=(0.5344, 0.3791, 0.2175),
    std=(0.2344, 0.2075, 0.1751),
    superclasses=34,
    groups=2,
)
