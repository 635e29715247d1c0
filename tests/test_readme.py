"""Every command of the README is typed here, in its order, as a reader would type it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.ray_head import free_port, ray_head

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

# What makes the studies of this test small; the reader's are whole.
SMALLER = ["--set", "screen.trials=8", "--set", "confirm.seeds=2", "--set", "confirm.families=1", "--set", "recipe.epochs=2"]


def commands(first_word: str) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line for line in lines if line.split()[0] == first_word]


def run(command: str, directory: Path, *more: str, timeout: float = 280) -> str:
    words = [sys.executable, "-m", "studies", *shlex.split(command)[1:], *more]
    ran = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=timeout, check=False)
    assert ran.returncode == 0, f"{command}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"
    return ran.stdout


@contextmanager
def served(words: list[str], directory: Path, url: str) -> Iterator[None]:
    """A server that answers at ``url`` for as long as the block lasts."""
    with subprocess.Popen(words, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            while not _answers(url):
                assert server.poll() is None, server.stdout.read() if server.stdout else ""
                time.sleep(0.2)
            yield
        finally:
            server.terminate()
            server.communicate(timeout=30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def write_mnist(root: Path) -> None:
    """Four IDX files in MNIST's own layout, with 200 and 50 images."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, count in (("train", 200), ("t10k", 50)):
        labels = np.arange(count) % 10
        images = (generator.random((count, 28, 28)) * 100 + labels[:, None, None] * 15).astype(np.uint8)
        header = np.array([2051, count, 28, 28], dtype=">i4").tobytes()
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(np.array([2049, count], dtype=">i4").tobytes() + labels.astype(np.uint8).tobytes())


def test_the_readme_names_no_command_that_is_not_typed_here() -> None:
    words = {line.split()[0] for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()}
    assert words == {"$"}
    typed = {"status", "report", "export", "run", "ui", "preview", "doctor", "reproduce"}
    assert {command.split()[1] for command in commands("margin-studies")} == typed
    assert commands("make") == ["make study", "make test"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {command.split()[1] for command in commands("make")} <= targets


@pytest.mark.ray
def test_what_follows_make_study_works_as_typed(tmp_path: Path) -> None:
    run("margin-studies run quickstart", tmp_path, *SMALLER)
    after = [command for command in commands("margin-studies") if command.split()[1] in ("status", "report", "export")]
    after += [command for command in commands("margin-studies") if command.endswith("config.yaml")]
    assert len(after) == 4
    for command in after:
        run(command, tmp_path)
    repeated = run("margin-studies run margin-runs/quickstart/export/digits/config.yaml", tmp_path)
    assert re.search(r"val_accuracy.*(yes|nearly)", repeated)
    [ui] = [command for command in commands("margin-studies") if command.split()[1] == "ui"]
    port = str(free_port())
    with served([sys.executable, "-m", "studies", *ui.split()[1:], "--port", port], tmp_path, f"http://127.0.0.1:{port}/health"):
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=120).read().decode()
    assert "MLflow" in page


def test_the_papers_tables_are_listed_as_typed(tmp_path: Path) -> None:
    listing, _ = [command for command in commands("margin-studies") if command.split()[1] == "reproduce"]
    assert "tammes" in run(listing, tmp_path)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1200)
def test_a_papers_table_runs_as_typed_is_only_printed_the_second_time_and_gets_its_page(tmp_path: Path) -> None:
    _, quick = [command for command in commands("margin-studies") if command.split()[1] == "reproduce"]
    out = run(quick, tmp_path, "--seeds", "2", timeout=1100)
    assert "shortened: epochs 30 instead of 100" in out
    assert out.splitlines()[-8:] == run(quick, tmp_path, "--seeds", "2").splitlines()[-8:]
    run("margin-studies reproduce --write-page page.md", tmp_path)
    assert "## tammes\n" in (tmp_path / "page.md").read_text(encoding="utf-8")


@pytest.mark.ray
def test_the_readmes_study_file_runs_as_typed(tmp_path: Path) -> None:
    [study] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "my-study.yaml").write_text(study)
    preview, whole, smaller = [command for command in commands("margin-studies") if "my-study.yaml" in command]
    assert "confirm" in run(preview, tmp_path)
    run(whole, tmp_path, *SMALLER)
    run(smaller, tmp_path, "--set", "recipe.epochs=2", "--set", "confirm.families=1", "--set", "confirm.seeds=2")


def test_the_readmes_python_runs() -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert float(names["value"]) > 0  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.ray
def test_mnist_runs_on_a_data_root_a_cluster_and_a_server_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With an address of their own, head and driver agree on a token only where both are told to.
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    write_mnist(tmp_path / "datasets")
    mnist, clustered = [command for command in commands("margin-studies") if command.startswith("margin-studies run mnist")]
    small = ["--set", "recipe.epochs=1", "--set", "confirm.seeds=1", "--set", "confirm.families=[gds]"]
    run(mnist.replace("/path/to/datasets", "datasets"), tmp_path, *small)
    run("margin-studies doctor", tmp_path)
    port = free_port()
    server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", "sqlite:///server.db", "--port", str(port)]
    health = f"http://127.0.0.1:{port}/health"
    with served(server, tmp_path, health), ray_head(RAY_AUTH_MODE="token", PYTHONPATH=str(ROOT)) as address:
        typed = clustered.replace("http://mlflow.example:5000", f"http://127.0.0.1:{port}").replace("auto", address)
        out = run(typed, tmp_path, "--data-root", "datasets", "--workdir", "clustered", *small)
    assert f"http://127.0.0.1:{port}" in out
