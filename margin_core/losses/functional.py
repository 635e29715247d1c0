"""The families' pure functions under one roof: ``(scores, target, *, knobs...) -> loss of each sample``.

Each is defined, and documented, in its family's own file.
"""

from __future__ import annotations

from margin_core.losses.arc_face import arc_face
from margin_core.losses.ce import ce
from margin_core.losses.cos_face import cos_face
from margin_core.losses.gds import gds
from margin_core.losses.gradient_decay import gradient_decay
from margin_core.losses.lm_softmax import lm_softmax
from margin_core.losses.norm_face import norm_face
from margin_core.losses.two_scale import two_scale

__all__ = ["arc_face", "ce", "cos_face", "gds", "gradient_decay", "lm_softmax", "norm_face", "two_scale"]
