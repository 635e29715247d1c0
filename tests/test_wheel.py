"""The wheel: what is built from this tree is what a user installs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("margin_core", "search_spaces", "studies")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built offline from a copy, so that nothing left in the tree by an earlier build is packed."""
    source = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_file_of_the_three_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    files = (path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file())
    ours = {str(path) for path in files if "__pycache__" not in path.parts and path.suffix != ".so"}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    compiled = {name for name in packed if name.endswith(".so")}
    assert packed - compiled == ours
    # What the loops of the losses are compiled to, where there is a compiler.
    assert [name.partition(".")[0] for name in compiled] == ["margin_core/losses/_closed_form"] * (shutil.which("cc") is not None)


def test_the_wheel_holds_the_presets_and_the_type_marker(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "studies/presets/quickstart.yaml" in names
    assert {f"{name}/py.typed" for name in PACKAGES} <= set(names)


def test_the_wheel_declares_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert "margin-studies = studies.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert "License-Expression: Apache-2.0" in wheel.read(f"{info}/METADATA").decode()
    assert f"{info}/licenses/LICENSE" in wheel.namelist()


def test_what_the_wheel_installs_previews_a_preset_far_from_this_tree(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    code = "import studies; print(studies.__file__); from studies.cli import main; main()"
    command = [sys.executable, "-c", code, "preview", "quickstart", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    place, _, printed = ran.stdout.partition("\n")
    assert Path(place).is_relative_to(tmp_path / "site")
    assert [stage["stage"] for stage in json.loads(printed)["stages"]] == ["screen", "confirm"]
