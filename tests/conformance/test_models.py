"""Every model of ours is what every model must be."""

from __future__ import annotations

from margin_core.testing import ModelConformance


class TestModels(ModelConformance):
    models = {
        "mlp-50-20": [(1, 8, 8), (3, 32, 32)],
        "mlp-7": [(1, 28, 28)],
        "linear-3": [(1, 8, 10), (3, 32, 32)],
        "lenet5": [(1, 28, 28), (3, 32, 32), (1, 12, 13)],
        "resnet18": [(1, 28, 28), (3, 9, 8)],
        "resnet34": [(3, 8, 8)],
        "resnet32": [(1, 28, 28), (3, 7, 4)],
        "vgg16": [(1, 28, 28), (3, 32, 33)],
        "mobilenet_v1": [(1, 28, 28), (3, 16, 17)],
        "wrn-10-1": [(1, 28, 28), (3, 32, 32)],
        "wrn-16-2": [(2, 5, 4)],
        "timm:test_resnet": [(1, 28, 28), (3, 32, 32)],
        "timm:test_vit": [(1, 32, 32), (3, 32, 32)],
    }
