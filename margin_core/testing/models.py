"""Everything that a model holds, in one class to subclass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from margin_core.heads import CosineHead
from margin_core.losses.family import Reads
from margin_core.models import MODELS, Classifier, Shape, build_model, check_model, log_scale

CLASSES = 7


class ModelConformance:
    """The tests that every model passes; a subclass names the models.

    Attributes:
        models: Models as a study file writes them, ``mlp-50-20`` say, and the shapes of images (C, H, W) that each is tested with.
    """

    models: ClassVar[Mapping[str, Sequence[Shape]]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Called by pytest for each test of the class."""
        if not self.models or not all(self.models.values()):
            raise ValueError(f"{type(self).__name__}.models must name at least one model, and a shape of images for each")
        cases = [(name, shape) for name, shapes in self.models.items() for shape in shapes]
        if "in_shape" in metafunc.fixturenames:
            metafunc.parametrize(
                ("name", "in_shape"), [pytest.param(*case, id=f"{case[0]}-{'x'.join(map(str, case[1]))}") for case in cases]
            )
        elif "name" in metafunc.fixturenames:
            metafunc.parametrize("name", self.models)

    def test_the_declaration_is_complete(self, name: str) -> None:
        (source,) = [source for source in MODELS.all()[0] if name == source.name or name.startswith((f"{source.name}-", f"{source.name}:"))]
        assert source.title
        assert source.reference
        assert (source.arguments == "") == (name == source.name)

    @pytest.mark.parametrize("reads", ["logits", "cosines"])
    def test_it_gives_scores_and_features_and_every_weight_learns(self, name: str, in_shape: Shape, reads: Reads) -> None:
        check_model(name, in_shape)
        model = build(name, in_shape, reads)
        scores, features = output = model(images(in_shape))
        assert scores.shape == (4, CLASSES)
        assert features.shape == (4, model.head.weight.shape[1])
        assert isinstance(model.head, CosineHead) == (reads == "cosines")
        torch.testing.assert_close(model.cosines(output), model.head.cosines(features))
        (scores * torch.randn(4, CLASSES, generator=torch.Generator().manual_seed(1))).sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    @pytest.mark.parametrize("reads", ["logits", "cosines"])
    def test_norms_times_cosines_are_the_logits_without_a_bias(self, name: str, in_shape: Shape, reads: Reads) -> None:
        model = build(name, in_shape, reads)
        output = model(images(in_shape))
        torch.testing.assert_close(model.norms(output) * model.cosines(output), output.features @ model.head.weight.T)

    def test_all_cells_of_a_replicate_start_from_one_backbone_and_replicates_from_others(self, name: str, in_shape: Shape) -> None:
        linear, cosine, other = build(name, in_shape), build(name, in_shape, "cosines"), build(name, in_shape, replicate=1)
        weights, same = linear.backbone.state_dict(), cosine.backbone.state_dict()
        assert all(torch.equal(weights[key], same[key]) for key in weights)
        assert torch.equal(linear.head.weight, cosine.head.weight)
        if weights:
            assert any(not torch.equal(weights[key], value) for key, value in other.backbone.state_dict().items())

    def test_building_it_leaves_the_global_generator_as_it_was(self, name: str, in_shape: Shape) -> None:
        before = torch.random.get_rng_state()
        build(name, in_shape)
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_a_built_model_is_in_training_mode(self, name: str, in_shape: Shape) -> None:
        assert all(module.training for module in build(name, in_shape).modules())

    def test_what_it_says_of_an_image_in_evaluation_does_not_depend_on_the_others(self, name: str, in_shape: Shape) -> None:
        model, batch = build(name, in_shape).eval(), images(in_shape)
        together = model(batch).scores
        for i in range(len(batch)):
            torch.testing.assert_close(model(batch[i : i + 1]).scores[0], together[i], rtol=1e-4, atol=1e-5)

    def test_it_survives_a_trip_through_its_state(self, name: str, in_shape: Shape) -> None:
        one, other = build(name, in_shape).eval(), build(name, in_shape, replicate=1).eval()
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(images(in_shape)).scores, other(images(in_shape)).scores)

    @pytest.mark.filterwarnings("ignore:the network has biases or norm layers")
    def test_its_scale_is_finite_and_moves_with_its_weights(self, name: str, in_shape: Shape) -> None:
        model = build(name, in_shape)
        scale = log_scale(model)
        assert scale.isfinite()
        (gradient,) = torch.autograd.grad(scale, model.head.weight)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0.0

    def test_a_name_that_goes_on_after_it_is_refused_in_a_sentence(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"^model ") as caught:
            check_model(f"{name}-?")
        assert "\n" not in str(caught.value)

    def test_an_image_of_one_pixel_is_taken_or_refused_with_the_model_s_name(self, name: str) -> None:
        pixel = (self.models[name][0][0], 1, 1)
        sentence = refusal(name, pixel)
        if sentence is None:
            assert build(name, pixel).eval()(images(pixel)).scores.isfinite().all()
        else:
            assert name in sentence


def build(name: str, in_shape: Shape, reads: Reads = "logits", replicate: int = 0) -> Classifier:
    """The model of one replicate of a study."""
    return build_model(name, in_shape=in_shape, num_classes=CLASSES, reads=reads, seed_parts=(0, replicate))


def images(in_shape: Shape) -> Tensor:
    """Four random images."""
    return torch.randn(4, *in_shape, generator=torch.Generator().manual_seed(0))


def refusal(name: str, in_shape: Shape) -> str | None:
    """What is said where the model cannot take such images, or None where it can."""
    try:
        build(name, in_shape)
    except ValueError as error:
        return str(error)
    return None
