"""The convolutional networks are the published ones: their weights, their depths, and what they leave of an image."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from margin_core.losses import build_loss
from margin_core.models import MODELS, HomogeneityWarning, build_model, check_model, log_scale
from margin_core.models.convolutional import he_initialised

HE = "He et al., Deep Residual Learning for Image Recognition, table 6"
NEURALFUSE = "Sun et al., NeuralFuse, NeurIPS 2024, table 7, which counts kuangliu/pytorch-cifar's networks"
CIFAR100 = "the table in the README of weiaicunzai/pytorch-cifar100"
HOWARD = "Howard et al., MobileNets, table 8"
WRN = "Zagoruyko and Komodakis, Wide Residual Networks, table 4"

# Name, classes, parameters in millions as they are printed, source. In all of them the images have three channels.
PUBLISHED = [
    ("resnet18", 10, "11.173962", NEURALFUSE),
    ("resnet18", 100, "11.2", CIFAR100),
    ("resnet34", 100, "21.3", CIFAR100),
    ("resnet32", 10, "0.46", HE),
    ("vgg16", 10, "14.728266", NEURALFUSE),
    ("mobilenet_v1", 100, "3.3", CIFAR100),
    ("mobilenet_v1", 1000, "4.2", HOWARD),
    ("wrn-40-1", 10, "0.6", WRN),
    ("wrn-40-2", 10, "2.2", WRN),
    ("wrn-40-4", 10, "8.9", WRN),
    ("wrn-40-8", 10, "35.7", WRN),
    ("wrn-28-10", 10, "36.5", WRN),
    ("wrn-28-12", 10, "52.5", WRN),
    ("wrn-22-8", 10, "17.2", WRN),
    ("wrn-22-10", 10, "26.8", WRN),
    ("wrn-16-8", 10, "11.0", WRN),
    ("wrn-16-10", 10, "17.1", WRN),
]


def on_paper(name: str, in_shape: tuple[int, int, int] = (3, 32, 32)) -> nn.Module:
    """The backbone with shapes and no numbers, which costs neither time nor memory."""
    source = MODELS.find(name.split("-")[0])
    assert source is not None
    with torch.device("meta"):
        return source.build(name, in_shape)


def weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("name", "classes", "millions", "source"), PUBLISHED, ids=[f"{name}-{classes}" for name, classes, *_ in PUBLISHED])
def test_there_are_as_many_parameters_as_published(name: str, classes: int, millions: str, source: str) -> None:
    backbone = on_paper(name)
    width = backbone(torch.empty(2, 3, 32, 32, device="meta")).shape[1]
    counted = weights(backbone) + classes * (width + 1)
    decimals = len(millions.split(".")[1])
    assert f"{counted / 1e6:.{decimals}f}" == millions, source


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_beside_torchvision_s_network_only_the_stem_and_the_classifier_are_smaller(name: str) -> None:
    import torchvision

    published = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    assert weights(on_paper(name)) == published - 1000 * (512 + 1) - 64 * 3 * (7 * 7 - 3 * 3)


# The layers with weights, shortcuts aside, to which the head adds one; of wide residual networks the depth counts the shortcuts and not
# the head.
@pytest.mark.parametrize(
    ("name", "layers", "shortcuts"),
    [("resnet18", 17, 3), ("resnet34", 33, 3), ("resnet32", 31, 0), ("vgg16", 13, 0), ("mobilenet_v1", 27, 0), ("wrn-28-10", 25, 3)],
)
def test_it_has_as_many_layers_as_its_name_or_paper_says(name: str, layers: int, shortcuts: int) -> None:
    convolutions = [(path, layer) for path, layer in on_paper(name).named_modules() if isinstance(layer, nn.Conv2d)]
    beside = [path for path, _ in convolutions if "downsample" in path or "shortcut" in path]
    assert (len(convolutions) - len(beside), len(beside)) == (layers, shortcuts)


@pytest.mark.parametrize(
    ("name", "of_28", "of_32", "of_64"),
    [
        ("resnet18", 4, 4, 8),
        ("resnet34", 4, 4, 8),
        ("resnet32", 7, 8, 16),
        ("vgg16", 2, 2, 4),  # its last convolutions; a pooling follows
        ("mobilenet_v1", 2, 2, 4),
        ("wrn-28-10", 7, 8, 16),
    ],
)
def test_the_last_convolutions_see_this_much_of_an_image(name: str, of_28: int, of_32: int, of_64: int) -> None:
    assert last_map(name, (1, 28, 28)) == (of_28, of_28)
    assert last_map(name, (3, 32, 32)) == (of_32, of_32)
    assert last_map(name, (5, 64, 64)) == (of_64, of_64)


def last_map(name: str, in_shape: tuple[int, int, int]) -> tuple[int, ...]:
    backbone = on_paper(name, in_shape)
    seen: list[tuple[int, ...]] = []
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, images, convolved: seen.append(tuple(convolved.shape[2:])))
    backbone(torch.empty(2, *in_shape, device="meta"))
    return seen[-1]


@pytest.mark.parametrize(
    ("name", "side"), [("resnet18", 8), ("resnet34", 8), ("resnet32", 4), ("vgg16", 28), ("mobilenet_v1", 16), ("wrn-28-10", 4)]
)
def test_images_that_are_too_small_are_told_with_the_least_size(name: str, side: int) -> None:
    check_model(name, (3, side, side))
    for height, width in ((side - 1, side), (side, side - 1)):
        with pytest.raises(ValueError) as caught:
            check_model(name, (3, height, width))
        assert str(caught.value) == f"{name} needs images of at least {side}x{side} pixels, got {height}x{width}"


@pytest.mark.parametrize("name", ["resnet18", "resnet32", "vgg16", "mobilenet_v1", "wrn-16-2"])
def test_the_two_scale_loss_warns_of_its_norm_layers_and_can_start_from_its_scale(name: str) -> None:
    model = build_model(name, in_shape=(1, 28, 28), num_classes=10, reads="logits", seed_parts=(0, 0))
    with pytest.warns(HomogeneityWarning, match="the network has biases or norm layers"):
        scale = log_scale(model).detach()
    loss = build_loss("two_scale", num_classes=10, ratio=10.0)
    loss.initialise_scales(scale)
    first, second = loss.scales()
    assert (math.log(first), math.log(second)) == pytest.approx((scale.item(), scale.item() + math.log(10.0)))
    last = torch.cat([model.head.weight.flatten(), model.head.bias])
    torch.testing.assert_close(log_scale(model, "homogeneous"), last.double().norm().log())


def test_he_s_weights_have_a_variance_of_2_over_the_fan_out_and_no_biases() -> None:
    torch.manual_seed(0)
    (layer,) = he_initialised(nn.Sequential(nn.Conv2d(64, 256, kernel_size=3)))
    assert layer.weight.var().item() == pytest.approx(2.0 / (256 * 9), rel=0.02)
    assert layer.weight.mean().item() == pytest.approx(0.0, abs=1e-3)
    assert not layer.bias.any()
