"""What is looked at before a study starts: each fault is one sentence."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
import torch

from margin_core.cache import cache_directory
from margin_core.models import build_model, save_weights
from studies.preflight import CallError, check_call
from studies.running.address import check_address
from tests.margin_core.data.photo_copies import write_folder
from tests.margin_core.data.small_copies import write_cifar10_images
from tests.studies.builders import WITHOUT_SCREEN, study


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else listens there, and on which nothing answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server that answers as MLflow's does below ``/good``, and with an error elsewhere."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/good/health" else 500)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def told(tmp_path: Path, *, changes: dict[str, Any] | None = None, **options: Any) -> str:
    """What is wrong with a call."""
    call = {"workdir": tmp_path / "runs", "address": None, "tracking_uri": None, "data_root": None, **options}
    with pytest.raises(CallError) as caught:
        check_call(study(**(changes or {})), **call)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_call_makes_the_work_directory_and_nothing_else(tmp_path: Path, server: str) -> None:
    options = {"address": server, "tracking_uri": f"http://{server}/good", "data_root": None}
    check_call(study(), workdir=tmp_path / "runs", **options)  # type: ignore[arg-type]
    check_call(study(), workdir=tmp_path / "runs", address=None, tracking_uri=None, data_root=None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["runs"]
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("dials", "key", "limit"),
    [
        ({"imbalance": {"kind": "step", "ratio": 1000}}, "imbalance.ratio", "104, the number of training examples of the rarest class"),
        ({"images_per_class": 1000}, "images_per_class", "104, the number of training examples of the rarest class"),
        (
            {"imbalance": {"kind": "step", "ratio": 1000}, "images_per_class": 20},
            "imbalance.ratio",
            "20, the number of training examples per class",
        ),
    ],
)
def test_a_class_with_too_few_examples_is_told(tmp_path: Path, dials: dict[str, Any], key: str, limit: str) -> None:
    changes = {"datasets": [{"dataset": "digits", **dials}]}
    assert told(tmp_path, changes=changes) == f"digits: {key} must be at most {limit}, got 1000"


@pytest.mark.parametrize(
    ("validation", "sentence"),
    [
        (0.0001, "validation must be 0 or choose at least one of 1438 examples, got 0.0001"),
        (0.9, "validation + test must be < 1, got 0.9 + 0.2"),
    ],
)
def test_a_share_that_leaves_too_few_examples_is_told(tmp_path: Path, validation: float, sentence: str) -> None:
    assert told(tmp_path, changes={"datasets": [{"dataset": "digits", "validation": validation}]}) == sentence


def test_an_official_validation_split_that_the_files_do_not_have_is_told(tmp_path: Path) -> None:
    write_folder(tmp_path)
    rmtree(tmp_path / "leaves" / "val")
    changes = {"datasets": [{"dataset": "folder:leaves", "size": 8, "validation": "official"}], "model": "mlp-50-20"}
    sentence = "folder:leaves: validation must be in [0, 1), for there is no official validation split, got 'official'"
    assert told(tmp_path, changes=changes, data_root=tmp_path) == sentence


def test_a_dataset_whose_files_are_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARGIN_DATA", raising=False)
    mnist = {"datasets": ["digits", "mnist"]}
    how = "torchvision.datasets.MNIST(root, download=True) puts them there (12 MB to download, 67 MB on disk)"
    assert told(tmp_path, changes=mnist) == f"mnist: no data root was given (--data-root or MARGIN_DATA); {how}"
    nowhere = tmp_path / "nowhere"
    files = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"
    assert told(tmp_path, changes=mnist, data_root=nowhere) == f"mnist: {files} not found in {nowhere}/MNIST/raw; {how}"
    monkeypatch.setenv("MARGIN_DATA", str(nowhere))
    assert told(tmp_path, changes=mnist) == f"mnist: {files} not found in {nowhere}/MNIST/raw; {how}"


def test_images_are_decoded_before_anything_starts_and_one_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARGIN_CACHE", str(tmp_path / "cache"))
    write_cifar10_images(tmp_path)
    cifar10 = {"datasets": ["cifar10"], "model": "mlp-50-20"}
    call = {"address": None, "tracking_uri": None, "data_root": tmp_path}
    check_call(study(**cifar10), workdir=tmp_path / "runs", **call)  # type: ignore[arg-type]
    (kept,) = cache_directory().glob("cifar10-32x32-*")
    assert json.loads((kept / "about.json").read_text())["first"] == f"{tmp_path}/cifar10-images/train/airplane/0000.jpg"
    other = tmp_path / "other"
    write_cifar10_images(other)
    torn = other / "cifar10-images" / "test" / "cat" / "0001.jpg"
    torn.write_bytes(b"no picture")
    assert told(tmp_path, changes=cifar10, data_root=other).startswith(f"cifar10: 1 of 80 images cannot be read, first {torn} (")


def test_a_plan_that_cannot_be_laid_out_is_told(tmp_path: Path) -> None:
    said = told(tmp_path, changes={**WITHOUT_SCREEN, "families": {"ce": {"label_smoothing": 0}, "gds": {}, "cos_face": {}}})
    assert said == "without a screen section, cos_face needs one value for each of cos_face.s"


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_ray_cluster_that_does_not_answer_is_told(tmp_path: Path, closed_port: int, form: str) -> None:
    address = form.format(closed_port)
    assert told(tmp_path, address=address) == f"no Ray cluster answers at {address!r}: Connection refused"


@pytest.mark.parametrize(
    "address", ["somewhere", "host:", ":6379", "ray://", "host:port", "ray://host", "host:²", "host:65536", "host:99999999999999999999"]
)
def test_an_address_that_is_none_is_told(tmp_path: Path, address: str) -> None:
    assert told(tmp_path, address=address) == f"--address must be HOST:PORT, ray://HOST:PORT, auto or local, got {address!r}"


def test_a_name_that_can_be_no_hosts_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, address="no..host:6379").startswith("no Ray cluster answers at 'no..host:6379': ")


@pytest.mark.parametrize("address", [None, "auto", "local"])
def test_an_address_on_this_machine_needs_no_look(address: str | None) -> None:
    check_address(address)


@pytest.mark.parametrize("answers", [False, True])
def test_a_tracking_server_in_trouble_is_worth_a_warning_for_the_ledger_waits_for_it(
    tmp_path: Path, closed_port: int, server: str, answers: bool
) -> None:
    uri = f"http://{server}/bad" if answers else f"http://127.0.0.1:{closed_port}"
    what = (
        f"the MLflow server at {uri} answers with status 500"
        if answers
        else f"no MLflow server answers at {uri}: [Errno 111] Connection refused"
    )
    call = {"workdir": tmp_path, "address": None, "tracking_uri": uri, "data_root": None}
    assert check_call(study(), **call) == [f"{what}; the study runs all the same, and sends it everything when it is back"]  # type: ignore[arg-type]


def test_an_address_that_is_no_store_of_mlflows_is_told_without_its_password(tmp_path: Path) -> None:
    schemes = "http:, https:, sqlite:, postgresql:, mysql:, mssql:, databricks:"
    assert told(tmp_path, tracking_uri="ftp://ada:secret@host") == f"--tracking-uri must begin with one of {schemes}, got 'ftp://host'"


def test_a_work_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    workdir = tmp_path / "file" / "runs"
    assert told(tmp_path, workdir=workdir) == f"the work directory {workdir} cannot be written: Not a directory"


def test_nothing_is_made_where_something_is_wrong(tmp_path: Path, closed_port: int) -> None:
    told(tmp_path, address=f"127.0.0.1:{closed_port}")
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_is_not_there_is_told_unless_a_cluster_has_it(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"recipe": {"epochs": 1, "compile": True}}
    monkeypatch.setenv("CXX", "no-such-compiler")
    said = "recipe.compile needs a C++ compiler, but this machine has no no-such-compiler; CXX may name another"
    assert told(tmp_path, changes=changes) == said
    check_call(study(**changes), workdir=tmp_path, address=server, tracking_uri=None, data_root=None)
    monkeypatch.setenv("CXX", sys.executable)
    check_call(study(**changes), workdir=tmp_path, address=None, tracking_uri=None, data_root=None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_told_unless_a_cluster_has_it(tmp_path: Path, server: str) -> None:
    changes = {"resources": {"gpu": 0.5}}
    assert told(tmp_path, changes=changes) == "resources.gpu is 0.5, but this machine has no GPU that torch can use"
    check_call(study(**changes), workdir=tmp_path, address=server, tracking_uri=None, data_root=None)


def test_a_trial_that_this_machine_has_no_room_for_is_told_unless_a_cluster_has_it(tmp_path: Path, server: str) -> None:
    there = os.cpu_count()
    changes: dict[str, Any] = {"recipe": {"epochs": 1, "processes": 2}, "resources": {"cpu": there}}
    said = f"resources.cpu is {there} for each of recipe.processes 2, but this machine has {there}"
    assert told(tmp_path, changes=changes) == said
    check_call(study(**changes), workdir=tmp_path, address=server, tracking_uri=None, data_root=None)
    check_call(study(resources={"cpu": there}), workdir=tmp_path, address=None, tracking_uri=None, data_root=None)


def test_a_cache_that_cannot_be_written_is_told_where_the_backbone_is_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_model("mlp-5", in_shape=(1, 8, 8), num_classes=2, reads="logits", seed_parts=(0,))
    weights = save_weights(network.backbone, tmp_path / "weights", "small").name
    (tmp_path / "file").write_text("a file")
    monkeypatch.setenv("MARGIN_CACHE", str(tmp_path / "file" / "cache"))
    frozen = {"model": {"name": "mlp-5", "weights": weights, "backbone": "frozen"}}
    said = told(tmp_path, changes=frozen, data_root=tmp_path)
    assert said == f"the cache {tmp_path}/file/cache cannot be written: Not a directory; set MARGIN_CACHE to a folder that can"


def test_weights_that_are_nowhere_or_of_another_network_are_told(tmp_path: Path) -> None:
    network = build_model("mlp-5", in_shape=(1, 8, 8), num_classes=2, reads="logits", seed_parts=(0,))
    weights = save_weights(network.backbone, tmp_path / "weights", "small").name
    check_call(
        study(model={"name": "mlp-5", "weights": weights}), workdir=tmp_path / "runs", address=None, tracking_uri=None, data_root=tmp_path
    )
    nowhere = {"model": {"name": "mlp-5", "weights": "gone-0123456789ab.safetensors"}}
    assert told(tmp_path, changes=nowhere, data_root=tmp_path) == f"weights gone-0123456789ab.safetensors: not found in {tmp_path}/weights"
    other = {"model": {"name": "mlp-6", "weights": weights}}
    assert told(tmp_path, changes=other, data_root=tmp_path).startswith(f"weights {weights}: not those of this network: '1.weight' is ")
