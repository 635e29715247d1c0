"""Weights that are not random: from files named by their digest, or published; what cannot be had is refused in one sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from margin_core.models import Classifier, Shape, build_model, check_model, find_weights_of, save_weights


def build(name: str, weights: str = "random", root: Path | None = None, in_shape: Shape = (1, 8, 8), replicate: int = 0) -> Classifier:
    return build_model(name, in_shape=in_shape, num_classes=3, reads="logits", seed_parts=(0, replicate), weights=weights, data_root=root)


def keep(model: Classifier, root: Path, name: str = "own") -> str:
    """The model's backbone as a file of weights below a data root."""
    return save_weights(model.backbone, root / "weights", name).name


def refused(*arguments: object, **options: object) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        build(*arguments, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "in_shape"),
    [("mlp-7", (1, 8, 8)), ("resnet32", (3, 8, 8)), ("timm:test_resnet", (1, 28, 28)), ("timm:test_vit", (2, 32, 32))],
)
def test_a_backbone_starts_from_the_weights_of_its_file_and_its_head_at_random(tmp_path: Path, name: str, in_shape: Shape) -> None:
    first = build(name, in_shape=in_shape)
    weights = keep(first, tmp_path)
    second = build(name, weights, tmp_path, in_shape=in_shape, replicate=1)
    kept, loaded = first.backbone.state_dict(), second.backbone.state_dict()
    assert all(torch.equal(kept[key], loaded[key]) for key in kept)
    assert torch.equal(second.head.weight, build(name, in_shape=in_shape, replicate=1).head.weight)
    assert all(module.training for module in second.modules())


def test_timm_s_weights_are_fitted_to_other_channels_and_sizes_and_their_classifier_is_left_out(tmp_path: Path) -> None:
    import timm

    published = timm.create_model("test_vit", num_classes=1000)
    (tmp_path / "weights").mkdir()
    save_file(published.state_dict(), tmp_path / "weights" / "vit.safetensors")
    contents = (tmp_path / "weights" / "vit.safetensors").read_bytes()
    name = f"vit-{hashlib.sha256(contents).hexdigest()}.safetensors"
    (tmp_path / "weights" / name).write_bytes(contents)
    model = build("timm:test_vit", name, tmp_path, in_shape=(1, 32, 32))
    stem, own = published.state_dict()["patch_embed.proj.weight"], model.backbone.state_dict()
    torch.testing.assert_close(own["patch_embed.proj.weight"], stem.sum(dim=1, keepdim=True))
    assert own["pos_embed"].shape[1] < published.state_dict()["pos_embed"].shape[1]
    assert torch.equal(own["blocks.0.attn.qkv.weight"], published.state_dict()["blocks.0.attn.qkv.weight"])


def test_a_file_is_named_by_its_digest_and_one_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    weights = keep(build("mlp-7"), tmp_path)
    assert keep(build("mlp-7"), tmp_path) == weights != keep(build("mlp-7", replicate=1), tmp_path)
    file = tmp_path / "weights" / weights
    save_file({key: tensor + 1.0 for key, tensor in load_file(file).items()}, file)
    assert refused("mlp-7", weights, tmp_path).startswith(f"weights {weights}: the file's SHA-256 begins with ")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    weights = keep(build("mlp-7"), tmp_path)
    assert refused("mlp-7-5", weights, tmp_path) == f"weights {weights}: not those of this network, which differs in '3.bias'"
    shapes = "'1.weight' is (7, 64) in the file and (8, 64) in the network"
    assert refused("mlp-8", weights, tmp_path) == f"weights {weights}: not those of this network: {shapes}"
    said = refused("timm:test_resnet", weights, tmp_path, in_shape=(1, 28, 28))
    assert said.startswith(f"weights {weights}: not those of timm:test_resnet, for they lack ")
    wide = keep(build("timm:test_resnet", in_shape=(2, 28, 28)), tmp_path, "two-channels")
    assert refused("timm:test_resnet", wide, tmp_path, in_shape=(1, 28, 28)).startswith(
        f"weights {wide}: not those of timm:test_resnet for 1 channels: "
    )


def test_a_file_that_is_none_of_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    name = "torn-9834876dcfb05cb1.safetensors"  # SHA-256 of "a", from its fifth digit on: not that of the file
    (tmp_path / "weights" / name).write_bytes(b"a")
    assert "begins with ca978112ca1b, not as its name says" in refused("mlp-7", name, tmp_path)
    right = "torn-ca978112ca1b.safetensors"
    (tmp_path / "weights" / right).write_bytes(b"a")
    assert refused("mlp-7", right, tmp_path).startswith(f"weights {right}: not a file of safetensors (")


def test_weights_that_are_nowhere_are_told_with_the_place(tmp_path: Path) -> None:
    name = "own-0123456789ab.safetensors"
    assert refused("mlp-7", name, tmp_path) == f"weights {name}: not found in {tmp_path}/weights"
    assert refused("mlp-7", name) == (
        f"weights {name}: no data root was given (--data-root or MARGIN_DATA), in whose folder weights it lies"
    )


@pytest.mark.parametrize("weights", ["imagenet", "own.safetensors", "../own-0123456789ab.safetensors", "own-0123456789ab.pt", ""])
def test_a_name_of_weights_that_is_none_is_refused(weights: str) -> None:
    with pytest.raises(ValueError, match=r"weights must be random, pretrained or the name of a file, .*, got"):
        check_model("mlp-7", weights=weights)


def test_a_model_without_published_weights_is_refused_before_anything_is_built() -> None:
    with pytest.raises(ValueError) as caught:
        check_model("mlp-7", weights="pretrained")
    assert str(caught.value) == "model 'mlp-7' has no pretrained weights; weights must be random or a file's name"
    with pytest.raises(ValueError, match=r"model 'timm:lcnet_035': timm .* has no pretrained weights of it"):
        check_model("timm:lcnet_035", weights="pretrained")
    with pytest.raises(ValueError, match=r"model 'timm:resnet18.best': timm .* has no weights 'best' of resnet18; known: a1_in1k, "):
        check_model("timm:resnet18.best")


def test_vit_b_16_is_known_by_its_timm_name_with_and_without_its_weights() -> None:
    for name in ("timm:vit_base_patch16_224", "timm:vit_base_patch16_224.augreg2_in21k_ft_in1k"):
        check_model(name, (3, 224, 224))
        check_model(name, (3, 224, 224), weights="pretrained")


def test_published_weights_that_cannot_be_downloaded_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as HF_HUB_OFFLINE=1, which is read when it is imported
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    said = refused("timm:test_vit", "pretrained", in_shape=(3, 32, 32))
    assert said.startswith("model timm:test_vit: its pretrained weights can be neither downloaded nor found here: ")
    with pytest.raises(FileNotFoundError, match="its pretrained weights can be neither downloaded nor found here"):
        find_weights_of("timm:test_vit", "pretrained")


def test_weights_in_the_cache_of_the_hub_are_found_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    stored = tmp_path / "models--timm--test_vit.r160_in1k"
    (stored / "snapshots" / "0123").mkdir(parents=True)
    (stored / "snapshots" / "0123" / "model.safetensors").write_bytes(b"weights")
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text("0123")
    find_weights_of("timm:test_vit", "pretrained")


def test_weights_drawn_at_random_are_always_there_and_a_file_is_looked_for(tmp_path: Path) -> None:
    find_weights_of("mlp-7", "random")
    with pytest.raises(FileNotFoundError, match=r"weights own-0123456789ab\.safetensors: not found in"):
        find_weights_of("mlp-7", "own-0123456789ab.safetensors", tmp_path)
