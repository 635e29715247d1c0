"""`docs/your-own.md`: its package is written as the page tells, installed, listed, tested and studied."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/your-own.md").read_text(encoding="utf-8")


def files_of_the_page() -> dict[str, str]:
    """What the page names before each block of code, and the block."""
    return dict(re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package's files."""
    folder = tmp_path_factory.mktemp("my-losses")
    family = re.findall(r"```python\n(.*?)```", (ROOT / "docs/adding-a-family.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    for path, text in {"my_losses/__init__.py": "", "my_losses/poly1.py": family, **files_of_the_page()}.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def environment(package: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the package is installed beside ours."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(site), str(package)]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}


def run(environment: dict[str, str], package: Path, *words: str) -> str:
    ran = subprocess.run([sys.executable, *words], cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    return ran.stdout


def test_the_page_has_every_file_that_it_lists() -> None:
    listed = re.search(r"```\n(pyproject.toml\n.*?)```", PAGE, re.DOTALL)
    assert listed is not None
    named = {line.split()[0] for line in listed.group(1).splitlines()}
    assert named == {*files_of_the_page(), "my_losses/__init__.py", "my_losses/poly1.py"}


@pytest.mark.parametrize(
    ("listing", "key", "name"), [("losses", "family", "poly1"), ("datasets", "dataset", "rings"), ("models", "model", "conv-<width>")]
)
def test_the_commands_list_what_the_package_declares_after_ours(
    package: Path, environment: dict[str, str], listing: str, key: str, name: str
) -> None:
    rows = json.loads(run(environment, package, "-m", "studies", listing, "--json"))
    assert rows[-1][key] == name


def test_the_package_passes_what_ours_pass(package: Path, environment: dict[str, str]) -> None:
    told = run(environment, package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_losses.py")
    passed = re.search(r"^(\d+) passed", told, re.MULTILINE)
    assert passed is not None, told
    assert int(passed.group(1)) > 50


@pytest.mark.slow
def test_a_mistake_in_the_package_fails_with_the_values_that_are_wrong(package: Path, environment: dict[str, str], tmp_path: Path) -> None:
    mistakes = (package / "test_my_losses.py").read_text().replace("eps * (1 - p_y)", "eps * (1 + p_y)")
    mistakes = mistakes.replace("[rings.SOURCE]", "[replace(rings.SOURCE, examples=301)]")
    (tmp_path / "test_mistakes.py").write_text("from dataclasses import replace\n" + mistakes)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "formula or declaration_says", "test_mistakes.py"]
    ran = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "2 failed" in ran.stdout
    assert "test_values_and_gradients_are_those_of_the_formula[poly1]" in ran.stdout
    assert "assert torch.Size([300, 2, 1, 1]) == (301, 2, 1, 1)" in ran.stdout


def test_the_study_is_planned_and_one_of_its_trials_runs(package: Path, environment: dict[str, str]) -> None:
    plan = json.loads(run(environment, package, "-m", "studies", "preview", "study.yaml", "--json"))
    assert [(stage["stage"], stage["cells"], stage["trials"]) for stage in plan["stages"]] == [("confirm", 6, 12)]
    trial = """
from margin_core.data import DatasetConfig
from margin_core.training import Cell, Recipe, Trial

recipe = Recipe(epochs=3, batch_size=32, lr=0.1)
cell = Cell(DatasetConfig("rings"), "conv-64", "poly1", {"eps": 2.0}, {}, recipe)
trial = Trial(cell, study_seed=0, replicate=0)
while not trial.done:
    report = trial.run_epoch()
print(report.diverged, report.metrics["val_accuracy"])
"""
    diverged, accuracy = run(environment, package, "-c", trial).split()
    assert diverged == "False"
    assert float(accuracy) > 60.0
