"""Fashion-MNIST: ten kinds of clothing, in MNIST's files."""

from __future__ import annotations

from margin_core.data.mnist import declare

SOURCE = declare(
    name="fashion_mnist",
    title="Fashion-MNIST",
    reader="FashionMNIST",
    megabytes=31,
    mean=0.2860,
    std=0.3530,
    class_names=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    reference="Xiao, Rasul and Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, 2017",
)
