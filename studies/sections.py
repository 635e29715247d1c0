"""The sections of a study file, as typed models, each with its keys, their defaults and their bounds.

The screen's own is in `studies.screen_section`. What sections must be together is checked by `studies.spec`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from margin_core.data import (
    OFFICIAL,
    VALIDATION,
    Choice,
    DatasetConfig,
    Imbalance,
    ImbalanceKind,
    Manifold,
    ManifoldKind,
    Merge,
    Official,
    Pretext,
)
from margin_core.knobs import Schedule
from margin_core.training import Backbone, Recipe, Record
from margin_core.training.recipe import Augment, LrSchedule, OptimizerName, Precision, Sharpness

STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"

# The stages number their seeds in blocks of so many, so that no two share one.
MOST_SEEDS = 1000


class Section(BaseModel):
    """What every part of a study file is: no key that is not known, and no value of another type."""

    # Strict: no "3" and no yes where a number is meant.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ImbalanceSection(Section):
    """Training classes of unequal size.

    Attributes:
        kind: ``long_tailed`` (sizes fall geometrically over the classes) or ``step`` (the second half of the classes is small).
        ratio: The size of the largest class over that of the smallest.
    """

    kind: ImbalanceKind
    ratio: float = Field(ge=1.0, allow_inf_nan=False)


class ManifoldSection(Section):
    """What the pictures of the dataset ``manifold`` are drawn by.

    Attributes:
        kind: ``rigid`` (templates shifted and turned) or ``deformable`` (templates bent).
        dimension: The intrinsic dimension of each class: from 1 to 3 if rigid, to 12 if deformable.
        pixel_noise: Standard deviation of the noise on each pixel, in units of that of the pictures.
    """

    kind: ManifoldKind = "deformable"
    dimension: int = 3
    pixel_noise: float = Field(0.0, ge=0.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _has_such_a_dimension(self) -> ManifoldSection:
        self.manifold()
        return self

    def manifold(self) -> Manifold:
        """The same as `margin_core` reads it."""
        return Manifold(self.kind, self.dimension, self.pixel_noise)


class DatasetEntry(Section):
    """A dataset, with the topology dials turned on it.

    Attributes:
        dataset: A name from ``margin-studies datasets``.
        label_noise: Share of the training labels that are wrong, in [0, 1).
        noise: ``symmetric`` (to any other class) or ``nearest`` (to the most similar class).
        label: What the study calls it; by default the name with its dials.
        imbalance: How unequal in size the training classes are.
        images_per_class: Training examples that each class keeps, or the largest one with an imbalance.
        classes: How many classes are kept.
        choose: Which ones: the ``first``, or those that are ``nearest`` to or ``farthest`` from each other.
        clutter: Share of every picture that patches of training pictures cover: 0, or from 1 to 15 sixteenths.
        deform: How strongly every picture is deformed, in [0, 1].
        merge: What the classes are merged into, before any other dial acts: ``superclasses`` or ``groups``.
        manifold: Of the dataset ``manifold``: what its pictures are drawn by.
        size: Pixels of the shorter side of photos; by default the dataset's own.
        pretext: ``rotation`` to ask how each image is turned, in the place of its class.
        validation: Share of the examples outside an official test split that validate, in [0, 1), at 0 none; or ``official`` for the
            official validation split.
    """

    dataset: str
    label_noise: float = Field(0.0, ge=0.0, lt=1.0)
    noise: Literal["symmetric", "nearest"] = "symmetric"
    label: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    imbalance: ImbalanceSection | None = None
    images_per_class: int | None = Field(None, ge=1)
    classes: int | None = Field(None, ge=2)
    choose: Choice = "first"
    clutter: float = Field(0.0, ge=0.0, lt=1.0)
    deform: float = Field(0.0, ge=0.0, le=1.0)
    merge: Merge | None = None
    manifold: ManifoldSection | None = None
    size: int | None = Field(None, ge=1)
    pretext: Pretext | None = None
    validation: float | Official = VALIDATION

    @field_validator("validation", mode="before")
    @classmethod
    def _is_a_share_or_official(cls, value: object) -> object:
        share = isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value < 1.0
        if not share and value != OFFICIAL:
            raise ValueError(f"must be in [0, 1) or {OFFICIAL}, got {value!r}")
        return value

    def config(self) -> DatasetConfig:
        """The same as `margin_core` reads it."""
        imbalance = None if self.imbalance is None else Imbalance(self.imbalance.kind, self.imbalance.ratio)
        return DatasetConfig(
            self.dataset,
            label_noise=self.label_noise,
            noise=self.noise,
            label=self.label,
            imbalance=imbalance,
            images_per_class=self.images_per_class,
            classes=self.classes,
            choose=self.choose,
            clutter=self.clutter,
            deform=self.deform,
            merge=self.merge,
            manifold=None if self.manifold is None else self.manifold.manifold(),
            size=self.size,
            pretext=self.pretext,
            validation=self.validation,
        )


def _dataset_entry(entry: object) -> object:
    return {"dataset": entry} if isinstance(entry, str) else entry


Dataset = Annotated[DatasetEntry, BeforeValidator(_dataset_entry)]


class ModelSection(Section):
    """The network.

    Attributes:
        name: A name from ``margin-studies models``.
        weights: What its backbone starts from: ``random``, ``pretrained``, or the name of a file of the data root's folder ``weights``.
        backbone: ``trained``, or ``frozen``: then the head alone is trained, on features that are computed once.
    """

    name: str
    weights: str = "random"
    backbone: Backbone = "trained"

    @model_validator(mode="after")
    def _a_frozen_backbone_has_learnt_something(self) -> ModelSection:
        if self.backbone == "frozen" and self.weights == "random":
            raise ValueError("a frozen backbone needs weights, pretrained or a file's name, for it never learns")
        return self

    @property
    def words(self) -> str:
        """What a report says of it."""
        weights = "" if self.weights == "random" else f", weights {self.weights}"
        return f"{self.name}{weights}{', frozen' if self.backbone == 'frozen' else ''}"


def _model_section(model: object) -> object:
    return {"name": model} if isinstance(model, str) else model


Model = Annotated[ModelSection, BeforeValidator(_model_section)]


class NetworkSection(Section):
    """A network with fixed weights, in whose eyes the study's datasets are described.

    Attributes:
        name: A name from ``margin-studies models``.
        weights: ``random``, ``pretrained``, or the name of a file of the data root's folder ``weights``.
    """

    name: str
    weights: str = "random"


class RecipeSection(Section):
    """How every trial is trained, but for the nuisance values."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(128, ge=1)
    optimizer: OptimizerName = "sgd"
    momentum: float = Field(0.9, ge=0.0, lt=1.0)
    lr_schedule: LrSchedule = "cosine"
    clip_norm: float | None = Field(5.0, gt=0.0)
    lr_steps: list[float] = Field(default_factory=list)
    lr_factor: float = 0.1
    warm_up: float = 0.0
    sharpness: Sharpness = "none"
    rho: float | None = None
    eta: float = 0.01
    ema: float | None = None
    mixup: float | None = None
    augment: Augment = "none"
    precision: Precision = "float32"
    accumulate: int = 1
    channels_last: bool = False
    compile: bool = False
    processes: int = 1

    @model_validator(mode="after")
    def _is_a_recipe(self) -> RecipeSection:
        self.recipe(lr=0.1, weight_decay=0.0)
        return self

    def recipe(self, *, lr: float | Schedule, weight_decay: float) -> Recipe:
        """The recipe of one cell."""
        return Recipe(**self.model_dump(), lr=lr, weight_decay=weight_decay)


class RecordSection(Section):
    """What every trial measures beside the metrics of the validation split after each epoch; it changes no trial.

    Attributes:
        train: Measure the training split too.
        test: Measure the test split too, to repeat the figures of papers; no stage looks at it.
        top_k: Top-k accuracies.
        close_enough: Close-enough accuracies, at these distances in probability.
        first_steps: Measure after each of so many first steps too.
        every_steps: Measure after every so many steps too.
        scales: The logs of the network's scale and of those of ``two_scale``.
        confidence: The distribution of the training examples' own probabilities.
        samples: The own probabilities of so many training examples.
        class_counts: How many training examples each class has.
        examples: What the trained network makes of each test example.
    """

    train: bool = False
    test: bool = False
    top_k: list[Annotated[int, Field(ge=2)]] = Field(default_factory=list)
    close_enough: list[Annotated[float, Field(ge=0.0, le=1.0)]] = Field(default_factory=list)
    first_steps: int = Field(0, ge=0)
    every_steps: int | None = Field(None, ge=1)
    scales: bool = False
    confidence: bool = False
    samples: int = Field(0, ge=0, le=100)
    class_counts: bool = False
    examples: bool = False

    @field_validator("top_k", "close_enough")
    @classmethod
    def _each_once(cls, values: list[float]) -> list[float]:
        if twice := [value for value in values if values.count(value) > 1]:
            raise ValueError(f"{twice[0]!r} is listed twice")
        return values

    def record(self) -> Record:
        """The same as a trial reads it; ``examples`` are written when it is over."""
        return Record(**self.model_dump(exclude={"examples"}))


class ConfirmSection(Section):
    """Whole response curves of the leading families on fresh seeds.

    Attributes:
        families: How many leading families of the screen to confirm, or their names; ``ce`` always comes along.
        seeds: Replicates of each cell, paired across cells.
        values: Knob values of a family's curve; by default the papers' grid of its first knob.
        tuned: What has other knobs and nuisance values of its own, those of its best configuration in the screen: each ``family``, or each
            ``value`` of its curve.
        surfaces: For a family the values of two of its knobs, every pair of which is run and compared besides.
    """

    families: int | list[str] = 3
    seeds: int = Field(5, ge=1, le=MOST_SEEDS)
    values: dict[str, Annotated[list[float], Field(min_length=1)]] = Field(default_factory=dict)
    tuned: Literal["family", "value"] = "family"
    surfaces: dict[str, dict[str, Annotated[list[float], Field(min_length=2)]]] = Field(default_factory=dict)

    @field_validator("families", mode="before")
    @classmethod
    def _a_number_or_names(cls, value: object) -> object:
        names = isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
        if not names and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"must be a whole number >= 1 or a list of families, got {value!r}")
        if isinstance(value, list) and (twice := [name for name in value if value.count(name) > 1]):
            raise ValueError(f"{twice[0]!r} is listed twice")
        return value


class ZoomSection(Section):
    """A closer look at the optimum that the confirm stage found, on fresh seeds.

    Attributes:
        families: How many leading families of each dataset to look at.
        points: Values of each family's finer curve.
        seeds: Replicates of each cell, paired across cells.
    """

    families: int = Field(1, ge=1)
    points: int = Field(5, ge=3)
    seeds: int = Field(5, ge=1, le=MOST_SEEDS)


class FinalTestSection(Section):
    """The test split, measured once: the chosen cell of each dataset beside ``ce``, on fresh seeds.

    Attributes:
        seeds: Replicates of each cell, paired across cells.
    """

    seeds: int = Field(5, ge=1, le=MOST_SEEDS)


class ResourceSection(Section):
    """What one process of a trial takes, or that of an array of fused trials; fractions share a processor or a GPU among processes.

    Attributes:
        cpu: Processors.
        gpu: GPUs.
        array: How many trials an array holds at most.
    """

    cpu: float = Field(1.0, gt=0.0, allow_inf_nan=False)
    gpu: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    array: int = Field(32, ge=1)

    @field_validator("gpu")
    @classmethod
    def _a_share_of_one_or_whole_ones(cls, value: float) -> float:
        if value > 1.0 and not value.is_integer():
            raise ValueError(f"must be a share of one GPU, up to 1, or a whole number of them, got {value:g}")
        return value


class ToleranceSection(Section):
    """When failed trials stop a study.

    A trial fails when it raises or its process dies more often than `retries`; a diverged trial is a result and does not count.

    Attributes:
        failed_share: Greatest share of a stage's trials that may fail.
        consecutive: This many failures in a row, with no success between them, stop the study early: the code is broken.
        retries: How often a trial whose process died is started again, from its checkpoint.
    """

    failed_share: float = Field(0.1, ge=0.0, le=1.0)
    consecutive: int = Field(5, ge=1)
    retries: int = Field(2, ge=0)
