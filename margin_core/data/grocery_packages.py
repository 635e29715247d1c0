"""The cartons and cups of Grocery Store: rigid goods that differ in small print. Its natural counterpart is ``grocery_produce``.

The classes are those of the group Packages in the dataset's own ``classes.csv``: juice, milk, oat milk and oatghurt, sour cream and sour
milk, soy milk and soyghurt, and yoghurt, of several brands and kinds each.
"""

from __future__ import annotations

from margin_core.data import grocery
from margin_core.data.parts import part_of

GROUPS = ("Packages",)

SOURCE = part_of(
    grocery.SOURCE,
    lambda dataset: grocery.classes_in(dataset, GROUPS),
    name="grocery_packages",
    title=f"{grocery.SOURCE.title}, packages",
    num_classes=31,
    examples=1745,
    mean=(0.5174, 0.4345, 0.3472),
    std=(0.2163, 0.2022, 0.1987),
    superclasses=9,
)
