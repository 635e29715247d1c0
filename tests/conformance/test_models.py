"""Every model of ours is what every model must be."""

from __future__ import annotations

from margin_core.testing import ModelConformance


class TestModels(ModelConformance):
    models = {
        "mlp-50-20": [(1, 8, 8), (3, 32, 32)],
        "mlp-7": [(1, 28, 28)],
        "lenet5": [(1, 28, 28), (3, 32, 32), (1, 12, 13)],
        "timm:test_resnet": [(1, 28, 28), (3, 32, 32)],
        "timm:test_vit": [(1, 32, 32), (3, 32, 32)],
    }
