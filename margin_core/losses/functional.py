"""The families' pure functions under one roof: ``(scores, target, *, knobs...) -> loss of each sample``.

Each is defined, and documented, in its family's own file.
"""

from __future__ import annotations

from margin_core.losses.arc_face import arc_face
from margin_core.losses.ce import ce
from margin_core.losses.cos_face import cos_face
from margin_core.losses.focal import focal
from margin_core.losses.gce import gce
from margin_core.losses.gds import gds
from margin_core.losses.gm_softmax import gm_softmax
from margin_core.losses.gradient_decay import gradient_decay
from margin_core.losses.l_softmax import l_softmax
from margin_core.losses.ldam import ldam
from margin_core.losses.lm_softmax import lm_softmax
from margin_core.losses.margin_softmax import margin_softmax
from margin_core.losses.norm_face import norm_face
from margin_core.losses.ohem import ohem
from margin_core.losses.sphere_face import sphere_face
from margin_core.losses.truncated_ce import truncated_ce
from margin_core.losses.two_scale import two_scale

__all__ = [
    "arc_face",
    "ce",
    "cos_face",
    "focal",
    "gce",
    "gds",
    "gm_softmax",
    "gradient_decay",
    "l_softmax",
    "ldam",
    "lm_softmax",
    "margin_softmax",
    "norm_face",
    "ohem",
    "sphere_face",
    "truncated_ce",
    "two_scale",
]
