"""The pages in `docs/`: what is generated is up to date, and what is told to be typed works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def files(folder: Path) -> dict[str, bytes]:
    """The generated files in a folder of docs, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "families.md", *(folder / "families").iterdir())}


def test_the_pages_and_pictures_of_the_families_are_those_that_make_docs_writes(tmp_path: Path) -> None:
    (tmp_path / "families").mkdir()
    (tmp_path / "families/hinge.md").write_text("A family that is gone.")
    command = [sys.executable, ROOT / "docs/generate.py", tmp_path]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    written, kept = files(tmp_path), files(ROOT / "docs")
    assert sorted(kept) == sorted(written), "run `make docs`"
    assert [path for path in written if kept[path] != written[path]] == [], "run `make docs`"


@pytest.mark.slow
def test_a_family_added_as_the_page_tells_passes_what_every_family_must(tmp_path: Path) -> None:
    page = (ROOT / "docs/adding-a-family.md").read_text(encoding="utf-8")
    family, formula = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    suite, formulas = "tests/conformance/test_families.py", "tests/margin_core/losses/oracle.py"
    shutil.copytree(ROOT / "margin_core", tmp_path / "margin_core", ignore=shutil.ignore_patterns("__pycache__"))
    for copied in (suite, formulas):
        (tmp_path / copied).parent.mkdir(parents=True)
        shutil.copy(ROOT / copied, tmp_path / copied)

    losses, oracle = tmp_path / "margin_core/losses", tmp_path / formulas
    listing, functional = losses / "__init__.py", losses / "functional.py"
    (losses / "poly1.py").write_text(family, encoding="utf-8")
    listing.write_text(re.sub(r"\bnorm_face\b", "norm_face, poly1", listing.read_text()))
    exported = functional.read_text().replace('"norm_face"', '"norm_face", "poly1"')
    functional.write_text(exported + "\nfrom margin_core.losses.poly1 import poly1\n")
    oracle.write_text(oracle.read_text() + "\n\n" + formula)

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "poly1", suite]
    ran = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_link_between_the_pages_leads_somewhere() -> None:
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"
