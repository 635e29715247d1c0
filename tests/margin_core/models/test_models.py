"""Models by name: what they give, what they start from, and what is said of a name that is none."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import warnings

import pytest
import torch

from margin_core.models import Classifier, HomogeneityWarning, build_model, check_model, list_models, log_scale

SHAPES = {
    "mlp-50-20": [(1, 8, 8), (3, 32, 32)],
    "mlp-7": [(1, 28, 28)],
    "lenet5": [(1, 28, 28), (3, 32, 32), (1, 12, 13)],
    "resnet18": [(3, 8, 8)],
    "resnet32": [(3, 8, 8)],
    "vgg16": [(1, 28, 28)],
    "mobilenet_v1": [(1, 16, 16)],
    "wrn-16-2": [(3, 8, 8)],
    "timm:test_resnet": [(1, 28, 28), (3, 32, 32)],
    "timm:test_vit": [(1, 32, 32), (3, 32, 32)],
}
CASES = [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]
WIDTHS = {
    "mlp-50-20": 20,
    "mlp-7": 7,
    "lenet5": 84,
    "resnet18": 512,
    "resnet32": 64,
    "vgg16": 512,
    "mobilenet_v1": 1024,
    "wrn-16-2": 128,
    "timm:test_resnet": 96,
    "timm:test_vit": 64,
}


def build(name: str, in_shape: tuple[int, int, int] = (1, 8, 8)) -> Classifier:
    return build_model(name, in_shape=in_shape, num_classes=7, reads="logits", seed_parts=(0, 0))


@pytest.mark.parametrize(("name", "width"), WIDTHS.items())
def test_the_features_are_as_wide_as_the_last_hidden_layer(name: str, width: int) -> None:
    assert build(name, SHAPES[name][0]).head.weight.shape == (7, width)


def test_the_network_of_the_gradient_decay_paper_has_50_20_and_10_nodes() -> None:
    model = build_model("mlp-50-20", in_shape=(1, 28, 28), num_classes=10, reads="logits", seed_parts=(0, 0))
    assert [parameter.shape[0] for parameter in model.parameters() if parameter.ndim == 2] == [50, 20, 10]


@pytest.mark.parametrize(("in_shape", "flat"), [((1, 28, 28), 400), ((3, 32, 32), 400)])
def test_lenet5_sees_28x28_as_the_32x32_it_was_made_for(in_shape: tuple[int, int, int], flat: int) -> None:
    first = next(layer for layer in build("lenet5", in_shape).backbone.modules() if isinstance(layer, torch.nn.Linear))
    assert first.in_features == flat


@pytest.mark.parametrize("name", ["resnet50", "mlp", "lenet", "lenet5-3", "resnet18-2", "wrn", ""])
def test_an_unknown_model_is_named_with_the_ones_there_are(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_model(name)
    assert str(caught.value) == f"model must be one of {', '.join(list_models())}, got {name!r}"
    with pytest.raises(ValueError, match="model must be one of"):
        build(name)


@pytest.mark.parametrize("name", ["mlp-", "mlp-0", "mlp-5-", "mlp-5x5"])
def test_widths_that_are_none_are_told_with_how_they_are_written(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_model(name)
    assert str(caught.value) == f"model must be written mlp-<width>[-<width>...], each width a whole number >= 1, got {name!r}"
    with pytest.raises(ValueError, match="model must be written mlp"):
        build(name)


def test_an_unknown_timm_model_is_named_with_the_nearest_ones() -> None:
    with pytest.raises(ValueError) as caught:
        check_model("timm:resnet_18")
    message = str(caught.value)
    assert message.startswith("model 'timm:resnet_18': timm ")
    assert "has no model 'resnet_18'; did you mean" in message
    assert "resnet18" in message
    assert "\n" not in message


def test_images_that_are_too_small_are_told_with_the_least_size() -> None:
    with pytest.raises(ValueError, match="lenet5 needs images of at least 12x12 pixels, got 8x8"):
        check_model("lenet5", (1, 8, 8))


def test_a_timm_model_that_cannot_take_the_images_is_told() -> None:
    with pytest.raises(ValueError, match="model timm:test_vit cannot take images of 1x28x28: "):
        build("timm:test_vit", (1, 28, 28))


def test_timm_and_torchvision_are_imported_only_to_build_what_is_made_of_them() -> None:
    script = """
import sys
from margin_core.models import build_model, check_model, list_models
list_models()
for name in ("lenet5", "resnet18", "resnet34", "resnet32", "vgg16", "mobilenet_v1", "wrn-28-10"):
    check_model(name, (3, 32, 32))
for name in ("mlp-5", "wrn-10-1"):
    build_model(name, in_shape=(1, 8, 8), num_classes=3, reads="cosines", seed_parts=(0,))
assert not {"timm", "torchvision"} & set(sys.modules), sorted(sys.modules)
for name, in_shape in (("resnet32", (1, 8, 8)), ("vgg16", (1, 28, 28))):
    build_model(name, in_shape=in_shape, num_classes=3, reads="logits", seed_parts=(0,))
assert "timm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(("name", "in_shape"), CASES)
def test_the_scale_is_the_product_of_the_norms_of_all_weights(name: str, in_shape: tuple[int, int, int]) -> None:
    model = build(name, in_shape)
    layers = [module for module in model.modules() if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))]
    product = math.prod(float(layer.weight.detach().double().norm()) for layer in layers)
    assert log_scale(model).item() == pytest.approx(math.log(product), rel=1e-6)


def test_multiplying_each_weight_by_c_multiplies_the_scale_by_c_to_the_number_of_layers() -> None:
    model = build("mlp-50-20")
    before = log_scale(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    torch.testing.assert_close(log_scale(model), before + 3 * math.log(3.0))


def test_the_scale_of_a_network_too_deep_for_single_precision_is_finite_and_differentiable() -> None:
    deep = torch.nn.Sequential(*(torch.nn.Linear(100, 100, bias=False) for _ in range(80)))
    scale = log_scale(deep)
    assert scale > math.log(torch.finfo(torch.float32).max)
    scale.backward()
    first = deep[0].weight
    torch.testing.assert_close(first.grad, (first / first.norm() ** 2).detach())


def test_the_scale_of_a_layer_of_a_million_weights_is_not_rounded_to_single_precision() -> None:
    layer = torch.nn.Conv2d(384, 384, kernel_size=3, bias=False)
    torch.testing.assert_close(log_scale(layer), layer.weight.double().norm().log(), rtol=0.0, atol=1e-12)


def bias_free(*widths: int) -> torch.nn.Sequential:
    layers = [layer for pair in itertools.pairwise(widths) for layer in (torch.nn.Linear(*pair, bias=False), torch.nn.ReLU())]
    return torch.nn.Sequential(*layers[:-1])


def test_of_a_network_without_biases_the_homogeneous_scale_is_the_whole_one_and_nothing_is_warned_of() -> None:
    model = bias_free(4, 6, 5, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(log_scale(model, "homogeneous"), log_scale(model))
        last = model[-1].weight
        torch.testing.assert_close(log_scale(model, "last_layer"), last.norm().log().double())


@pytest.mark.parametrize("norm", [torch.nn.BatchNorm1d(6), torch.nn.LayerNorm(6)])
def test_the_homogeneous_scale_starts_at_the_last_norm_layer_whose_scores_grow_with_it(norm: torch.nn.Module) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), norm, torch.nn.ReLU(), *bias_free(6, 5, 3)).eval()
    images = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    scale, scores = log_scale(model, "homogeneous"), model(images)
    affine = torch.cat([model[1].weight, model[1].bias])
    torch.testing.assert_close(scale, (affine.norm().log() + model[3].weight.norm().log() + model[5].weight.norm().log()).double())
    with torch.no_grad():
        for factor, parameters in ((2.0, model[1].parameters()), (3.0, model[3].parameters()), (5.0, model[5].parameters())):
            for parameter in parameters:
                parameter.mul_(factor)
    torch.testing.assert_close(model(images), 30.0 * scores)
    torch.testing.assert_close(log_scale(model, "homogeneous"), scale + math.log(30.0))


def test_a_last_layer_with_a_bias_is_homogeneous_together_with_it_and_alone() -> None:
    model = torch.nn.Sequential(*bias_free(4, 6, 5), torch.nn.Linear(5, 3))
    joint = torch.cat([model[-1].weight.flatten(), model[-1].bias])
    torch.testing.assert_close(log_scale(model, "homogeneous"), joint.norm().log().double())


@pytest.mark.parametrize("source", ["all_weights", "last_layer"])
def test_a_scale_in_which_the_scores_are_not_homogeneous_is_warned_of(source: str) -> None:
    with pytest.warns(HomogeneityWarning, match="the network has biases or norm layers"):
        log_scale(build("mlp-50-20"), source)


def test_an_unknown_source_of_the_scale_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="source must be one of all_weights, homogeneous, last_layer, got 'first_layer'"):
        log_scale(bias_free(4, 3), "first_layer")
