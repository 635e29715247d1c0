"""The forward pass of several networks of one architecture at once, whose parameters lie one after another along a first axis.

A backbone is traced once, and each of its layers done for all K networks by one operation. Activations lie so that this needs no copies:
maps with the networks along the channels, as a grouped convolution has them, and features with the batch innermost, as products of
matrices for each network want it. Where networks are given the same batch, the first layer is one product for all of them.
Which trials the networks are of, and what becomes of their features, is left to `array`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from margin_core.models.resnet32 import ZeroPadding

Tensors: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Given:
    """What the networks are given: for each of some parts of them, how many they are, and the one batch (N, ...) that they all see."""

    parts: tuple[tuple[int, Tensor], ...]

    def map(self, function: Callable[[Tensor], Tensor]) -> Given:
        """The same done to each batch."""
        return Given(tuple((count, function(batch)) for count, batch in self.parts))

    def part(self, start: int, end: int) -> Given:
        """What the networks from ``start`` up to ``end`` are given."""
        parts, first = [], 0
        for count, batch in self.parts:
            own = min(end, first + count) - max(start, first)
            parts += [(own, batch)] if own > 0 else []
            first += count
        return Given(tuple(parts))


@dataclass(frozen=True)
class Maps:
    """Feature maps of K networks, (N, K C, H, W): the channels of one network after those of another."""

    values: Tensor


@dataclass(frozen=True)
class Features:
    """Feature vectors of K networks, (K, d, N)."""

    values: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Features:
        """The same done to each number."""
        return Features(function(self.values))

    def part(self, start: int, end: int) -> Features:
        """Those of the networks from ``start`` up to ``end``."""
        return Features(self.values[start:end])


Value: TypeAlias = Given | Maps | Features


class StackingError(ValueError):
    """A backbone has a part that is not known how to do for several networks at once; the message names it."""


class StackedBackbone:
    """A backbone for K networks.

    Args:
        backbone: One of them, for its layers; its parameters are not used.

    Raises:
        StackingError: Where it has a layer or an operation that is not known, or parameters that are not trained.
    """

    def __init__(self, backbone: nn.Module) -> None:
        if not all(parameter.requires_grad for parameter in backbone.parameters()):
            raise StackingError("some of its parameters are not trained")
        graph = _trace(backbone)
        modules = {f"0.{name}".removesuffix("."): module for name, module in backbone.named_modules()}
        self._nodes: list[tuple[fx.Node, Callable[..., Any]]] = []
        for node in graph.nodes:
            if node.op == "call_module":
                self._nodes.append((node, _LayerCall(str(node.target).partition(".")[2], modules[str(node.target)])))
            elif node.op not in ("placeholder", "output"):
                self._nodes.append((node, _operation(node)))
        self._input = next(node for node in graph.nodes if node.op == "placeholder")
        self._output = next(node for node in graph.nodes if node.op == "output").args[0]

    def __call__(self, given: Given, tensors: Tensors, *, training: bool) -> Given | Features:
        """The features of what the networks are given.

        Args:
            given: For K networks in all.
            tensors: Their parameters and buffers by name, (K, ...) each; in training, running statistics are moved in place.
            training: Whether batches are normalised by their own statistics.
        """
        values: dict[fx.Node, Value] = {self._input: given}
        number = sum(count for count, _ in given.parts)
        for node, done in self._nodes:
            if isinstance(done, _LayerCall):
                assert isinstance(node.args[0], fx.Node)
                values[node] = done(values[node.args[0]], tensors, number, training)
            else:
                values[node] = done(*(values[argument] for argument in node.args if isinstance(argument, fx.Node)))
        features = values[self._output]
        if isinstance(features, Maps):
            raise StackingError("its features are maps")
        return features


def check_stack(backbone: nn.Module, in_shape: Sequence[int]) -> None:
    """Check that a backbone, which is thrown away after it, comes to the same stacked as by itself, in training and in evaluation.

    A trace does not show all: hooks, what is done in training only, tensors that two layers share, or that none uses.

    Args:
        backbone: With random weights.
        in_shape: The shape of one image, (C, H, W).

    Raises:
        StackingError: Where it does not.
    """
    stack = StackedBackbone(backbone)
    pictures = torch.randn(3, *in_shape, generator=torch.Generator().manual_seed(0))
    for training in (True, False):
        tensors = {name: tensor.detach().unsqueeze(0) for name, tensor in backbone.named_parameters()}
        tensors |= {name: tensor.clone().unsqueeze(0) for name, tensor in backbone.named_buffers()}
        parameters = list(backbone.parameters())
        try:
            found = stack(Given(((1, pictures.clone()),)), tensors, training=training)
            expected: Tensor = backbone.train(training)(pictures.clone())
            gradients = torch.autograd.grad(expected.sum(), parameters, allow_unused=True) if parameters else ()
        except Exception as error:  # whatever torch raises where layers do not go together
            raise StackingError(f"its layers do not go together ({type(error).__name__})") from error
        own = found.values[0].t() if isinstance(found, Features) else found.parts[0][1]
        near = 1e-3 * float(expected.detach().abs().max())
        if own.shape != expected.shape or not torch.allclose(own, expected, rtol=1e-3, atol=near):
            raise StackingError(f"what it does in {'training' if training else 'evaluation'} is more than its layers do")
        if any(gradient is None for gradient in gradients):
            raise StackingError("some of its parameters have no part in its features")


def linear(value: Given | Features, weight: Tensor, bias: Tensor | None) -> Features:
    """``weight`` (K, out, d) times the features of K networks, plus ``bias`` (K, out)."""
    if isinstance(value, Features):
        product = torch.bmm(weight, value.values) if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, value.values)
        return Features(product)
    counts = [count for count, _ in value.parts]
    products = []
    for own, shift, (count, batch) in zip(_split(weight, counts), _split(bias, counts), value.parts, strict=True):
        assert own is not None
        rows = own.reshape(-1, own.shape[2])
        whole = torch.mm(rows, batch.t()) if shift is None else torch.addmm(shift.reshape(-1, 1), rows, batch.t())
        products.append(whole.view(count, own.shape[1], len(batch)))
    return Features(_joined(products, 0))


def logits(value: Given | Features, weight: Tensor, bias: Tensor) -> Tensor:
    """The logits (K, N, classes) of K networks, with heads of ``weight`` (K, classes, d) and ``bias`` (K, classes)."""
    if isinstance(value, Features):
        return torch.baddbmm(bias.unsqueeze(1), value.values.mT, weight.mT)
    return linear(value, weight, bias).values.mT


def cosines(value: Given | Features, prototypes: Tensor) -> Tensor:
    """Cosines (K, N, classes) between the features of K networks and their ``prototypes`` (K, classes, d); a zero vector's are 0."""
    if isinstance(value, Features):
        return torch.bmm(F.normalize(value.values, dim=1).mT, F.normalize(prototypes, dim=2).mT)
    counts = [count for count, _ in value.parts]
    angles: Tensor = _CosinesOfGiven.apply(prototypes, counts, *(F.normalize(batch, dim=1) for _, batch in value.parts))
    return angles.mT


class _CosinesOfGiven(torch.autograd.Function):
    """Cosines of features that are no network's own, a frozen backbone's say: products of matrices, and then of each row a division.

    Normalised prototypes would be as large as the prototypes, and they and their gradient be written and read several times a step, which
    with hundreds of classes takes longer than the products. The gradient of x w / |w| by w is (x - (x w / |w|) w / |w|) / |w|.
    """

    @staticmethod
    def forward(ctx: Any, prototypes: Tensor, counts: Sequence[int], *batches: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(prototypes, dim=2, keepdim=True)
        at_least = lengths.clamp_min(1e-12)  # as of torch's normalize
        angles = linear(Given(tuple(zip(counts, batches, strict=True))), prototypes, None).values.div_(at_least)
        ctx.save_for_backward(prototypes, lengths, at_least, angles, *batches)
        ctx.counts = counts
        return angles

    @staticmethod
    def backward(ctx: Any, of_angles: Tensor) -> tuple[Tensor | None, ...]:
        prototypes, lengths, at_least, angles, *batches = ctx.saved_tensors
        gradient = torch.empty_like(prototypes)
        scaled, first = of_angles / at_least, 0
        for count, batch in zip(ctx.counts, batches, strict=True):
            rows = scaled[first : first + count].reshape(-1, len(batch))
            torch.mm(rows, batch, out=gradient[first : first + count].view(-1, prototypes.shape[2]))
            first += count
        along = (of_angles * angles).sum(dim=2, keepdim=True) / at_least.square()
        gradient.addcmul_(prototypes, torch.where(lengths < at_least, 0.0, along), value=-1.0)
        return (gradient, None, *(None for _ in batches))


def _split(tensor: Tensor | None, counts: Sequence[int]) -> Sequence[Tensor | None]:
    if tensor is None or len(counts) == 1:
        return [tensor] * len(counts)
    return torch.split(tensor, list(counts))


def _joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)


def maps(given: Given) -> Maps:
    """Batches (N, C, H, W) as maps of each network by itself."""
    return Maps(_joined([batch.repeat(1, count, 1, 1) for count, batch in given.parts], 1))


def features(given: Given) -> Features:
    """Batches (N, d) as features of each network by itself."""
    return Features(_joined([batch.t().expand(count, -1, -1) for count, batch in given.parts], 0))


@dataclass(frozen=True)
class _Call:
    """One layer of all networks: how many they are, their tensors of it by name, (K, ...) each, and whether they are trained."""

    number: int
    own: Tensors
    training: bool


def _linear(layer: nn.Linear, value: Value, call: _Call) -> Value:
    if isinstance(value, Maps):
        raise StackingError("it has a linear layer over maps")
    return linear(value, call.own["weight"], call.own.get("bias"))


def _convolution(layer: nn.Conv2d, value: Value, call: _Call) -> Value:
    weight, bias = call.own["weight"], call.own.get("bias")

    def convolved(images: Tensor, filters: Tensor, shift: Tensor | None, groups: int) -> Tensor:
        flat = None if shift is None else shift.reshape(-1)
        return F.conv2d(images, filters.flatten(0, 1), flat, layer.stride, layer.padding, layer.dilation, groups)

    if isinstance(value, Given) and layer.groups > 1:
        value = maps(value)
    if not isinstance(value, Given):
        return Maps(convolved(value.values, weight, bias, call.number * layer.groups))
    counts = [count for count, _ in value.parts]
    parts = zip(_split(weight, counts), _split(bias, counts), value.parts, strict=True)
    return Maps(_joined([convolved(batch, filters, shift, 1) for filters, shift, (_, batch) in parts if filters is not None], 1))


def _batch_norm(layer: _BatchNorm, value: Value, call: _Call) -> Value:
    assert layer.momentum is not None
    if isinstance(value, Given):
        value = maps(value) if isinstance(layer, nn.BatchNorm2d) else features(value)
    if call.training:
        call.own["num_batches_tracked"].add_(1)
    flat = {name: tensor.flatten() for name, tensor in call.own.items()}
    # Of features each number of each network is a channel, and the batch its only axis.
    values = value.values if isinstance(value, Maps) else value.values.flatten(0, 1).unsqueeze(0)
    normed = F.batch_norm(
        values, flat["running_mean"], flat["running_var"], flat.get("weight"), flat.get("bias"), call.training, layer.momentum, layer.eps
    )
    return Maps(normed) if isinstance(value, Maps) else Features(normed.view_as(value.values))


def _each_map(layer: nn.Module, value: Value, call: _Call) -> Value:
    """What is done to each channel by itself."""
    return value.map(layer) if isinstance(value, Given) else Maps(layer(value.values))


def _flatten(layer: nn.Module, value: Value, call: _Call) -> Value:
    if isinstance(value, Given):
        return value.map(lambda batch: batch.flatten(1))
    if isinstance(value, Features):
        return value
    return Features(value.values.view(len(value.values), call.number, -1).permute(1, 2, 0))


def _zero_padding(layer: ZeroPadding, value: Value, call: _Call) -> Value:
    values = (maps(value) if isinstance(value, Given) else value).values
    return Maps(F.pad(torch.unflatten(values, 1, (call.number, -1))[..., ::2, ::2], (0, 0, 0, 0, 0, layer.new)).flatten(1, 2))


def _mapped(function: Callable[[Tensor], Tensor], value: Value) -> Value:
    """``function``, of each number by itself, done to a value."""
    return value.map(function) if isinstance(value, Given) else type(value)(function(value.values))


def _each(function: Callable[[Tensor], Tensor]) -> Callable[..., Value]:
    """A layer that does ``function`` to each number by itself."""
    return lambda layer, value, call: _mapped(function, value)


_LAYERS: dict[type[nn.Module], Callable[..., Value]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.MaxPool2d: _each_map,
    nn.AvgPool2d: _each_map,
    nn.AdaptiveAvgPool2d: _each_map,
    nn.Flatten: _flatten,
    nn.ReLU: _each(F.relu),
    nn.ReLU6: _each(F.relu6),
    nn.Identity: _each(lambda values: values),
    ZeroPadding: _zero_padding,
}
# What some layers have in other forms than those above.
_ONLY: dict[type[nn.Module], Callable[[Any], bool]] = {
    nn.Conv2d: lambda layer: layer.padding_mode == "zeros",
    nn.BatchNorm2d: lambda layer: layer.track_running_stats and layer.momentum is not None,
    nn.BatchNorm1d: lambda layer: layer.track_running_stats and layer.momentum is not None,
    nn.Flatten: lambda layer: (layer.start_dim, layer.end_dim) == (1, -1),
}


class _LayerCall:
    """A layer of the backbone, for all networks."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        if type(layer) not in _LAYERS or not _ONLY.get(type(layer), lambda layer: True)(layer):
            raise StackingError(f"it has the layer {layer}")
        self._layer = layer
        self._done = _LAYERS[type(layer)]
        tensors = (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False))
        self._names = {short: f"{name}.{short}" if name else short for short, _ in tensors}

    def __call__(self, value: Value, tensors: Tensors, number: int, training: bool) -> Value:
        own = {short: tensors[whole] for short, whole in self._names.items()}
        return self._done(self._layer, value, _Call(number, own, training))


def _added(one: Value, other: Value) -> Value:
    of_maps = isinstance(one, Maps) or isinstance(other, Maps)
    one, other = ((maps(value) if of_maps else features(value)) if isinstance(value, Given) else value for value in (one, other))
    return type(one)(one.values + other.values)


_OPERATIONS: dict[Any, Callable[..., Value]] = {
    operator.add: _added,
    operator.iadd: _added,
    torch.add: _added,
    F.relu: partial(_mapped, F.relu),
    torch.relu: partial(_mapped, F.relu),
}


def _operation(node: fx.Node) -> Callable[..., Value]:
    operands = [argument for argument in node.args if isinstance(argument, fx.Node)]
    if node.target not in _OPERATIONS or len(operands) != len(node.args) or set(node.kwargs) - {"inplace"}:
        raise StackingError(f"it uses {getattr(node.target, '__name__', node.target)}")
    return _OPERATIONS[node.target]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in _LAYERS or not any(m.children())


def _trace(backbone: nn.Module) -> fx.Graph:
    try:
        return _Tracer().trace(nn.Sequential(backbone))  # for a backbone that is a single layer
    except Exception as error:  # whatever a forward raises when it is given a stand-in
        raise StackingError("what it does cannot be told without running it") from error
