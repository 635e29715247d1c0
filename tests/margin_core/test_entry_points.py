"""Declarations of other packages: found by their entry points, imported when asked for, and told plainly where they are at fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from margin_core.entry_points import Declarations, other_packages
from tests.packages import write_package

ROOT = Path(__file__).parents[2]
GROUP = "margin_core.families"
Install = Callable[..., None]


@dataclass(frozen=True)
class Record:
    name: str


def declared() -> Declarations[Record]:
    """As a process that has just started sees them."""
    return Declarations(GROUP, "loss family", Record, [Record("ce"), Record("gds")])


def declaring(name: str) -> str:
    return f"from {__name__} import Record\nFAMILY = Record({name!r})\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package of one module for this test: its text, and the entry points by name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(package: str, text: str, **entry_points: str) -> None:
        module = package.replace("-", "_")
        monkeypatch.delitem(sys.modules, module, raising=False)
        write_package(tmp_path, package, {module: text}, {GROUP: {name: f"{module}:{thing}" for name, thing in entry_points.items()}})

    return write


def fault(declarations: Declarations[Record], name: str) -> str:
    with pytest.raises(ValueError) as caught:
        declarations.find(name)
    return str(caught.value)


def test_a_declaration_of_another_package_is_listed_after_ours_and_found(install: Install) -> None:
    install("aa-losses", declaring("aa"), aa="FAMILY")
    declarations = declared()
    assert declarations.names() == ["ce", "gds", "aa"]
    found = declarations.find("aa")
    assert found is not None
    assert found.name == "aa"
    assert declarations.find("aa") is found
    assert declarations.find("hinge") is None
    assert declarations.all() == ([*declarations.ours.values(), found], [])
    assert other_packages() == {"aa-losses": "1.0"}


def test_nothing_is_imported_until_it_is_asked_for(install: Install) -> None:
    install("late-losses", declaring("late"), late="FAMILY")
    declarations = declared()
    declarations.names()
    declarations.find("ce")
    declarations.find("hinge")
    assert "late_losses" not in sys.modules
    declarations.find("late")
    assert "late_losses" in sys.modules


def test_a_name_of_ours_stays_ours_and_the_other_package_is_named(install: Install) -> None:
    install("greedy", declaring("ce"), ce="FAMILY")
    declarations = declared()
    assert declarations.names() == ["ce", "gds"]
    assert declarations.find("ce") is declarations.ours["ce"]
    found, faults = declarations.all()
    assert found == [Record("ce"), Record("gds")]
    assert faults == [
        "loss family 'ce' of the package greedy (entry point greedy:FAMILY in margin_core.families) is not used: "
        "the name is one of margin-studies' own"
    ]


def test_a_name_that_two_packages_declare_is_neither_s(install: Install) -> None:
    install("one", declaring("twin"), twin="FAMILY")
    install("two", declaring("twin"), twin="FAMILY")
    sentence = "loss family 'twin' is declared by more than one package, one and two; only one of them can be installed"
    assert fault(declared(), "twin") == sentence
    assert declared().all()[1] == [sentence]
    assert declared().names() == ["ce", "gds", "twin"]


@pytest.mark.parametrize(
    ("text", "thing", "sentence"),
    [
        ("import not_there", "FAMILY", "cannot be imported: ModuleNotFoundError: No module named 'not_there'"),
        ("raise RuntimeError('two\\nlines')", "FAMILY", "cannot be imported: RuntimeError: two lines"),
        ("", "FAMILY", "cannot be imported: AttributeError: module 'bad' has no attribute 'FAMILY'"),
        ("FAMILY = 3", "FAMILY", "must be a Record, got int"),
        (declaring("other"), "FAMILY", "declares another name, 'other'; the two must be the same"),
    ],
)
def test_what_cannot_be_had_is_told_with_package_entry_point_and_cause_and_the_rest_goes_on(
    install: Install, text: str, thing: str, sentence: str
) -> None:
    install("bad", text, bad=thing)
    install("fine", declaring("fine"), fine="FAMILY")
    declarations = declared()
    whole = f"loss family 'bad' of the package bad (entry point bad:{thing} in margin_core.families) {sentence}"
    assert fault(declarations, "bad") == whole
    found, faults = declarations.all()
    assert [record.name for record in found] == ["ce", "gds", "fine"]
    assert faults == [whole]
    assert fault(declarations, "bad") == whole


@pytest.fixture
def two_packages(tmp_path: Path) -> dict[str, str]:
    """An environment with a package whose declarations are good, and one whose declarations cannot be imported."""
    good = """
        from dataclasses import replace
        from margin_core.data import digits
        from margin_core.losses import get_family
        from margin_core.models import ModelSource
        from torch import nn
        FAMILY = replace(get_family("focal"), name="focal_again")
        SOURCE = replace(digits.SOURCE, name="digits_again")
        MODEL = ModelSource(name="flat_again", title="The pixels", reference="none", build=lambda name, in_shape: nn.Flatten())
    """
    kinds = {"families": ("focal", "FAMILY"), "datasets": ("digits", "SOURCE"), "models": ("flat", "MODEL")}
    for package, suffix, text in (("good-package", "again", dedent(good)), ("bad-package", "broken", "import not_there")):
        module = package.replace("-", "_")
        entry_points = {f"margin_core.{kind}": {f"{name}_{suffix}": f"{module}:{thing}"} for kind, (name, thing) in kinds.items()}
        write_package(tmp_path, package, {module: text}, entry_points)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}


def command(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-m", "studies", *words)
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("listing", "key", "group", "good", "bad"),
    [
        ("losses", "family", "families", "focal_again", "loss family 'focal_broken'"),
        ("datasets", "dataset", "datasets", "digits_again", "dataset 'digits_broken'"),
        ("models", "model", "models", "flat_again", "model 'flat_broken'"),
    ],
)
def test_a_listing_has_what_can_be_had_and_warns_of_the_rest(
    two_packages: dict[str, str], listing: str, key: str, group: str, good: str, bad: str
) -> None:
    ran = command(two_packages, listing, "--json")
    assert ran.returncode == 0, ran.stderr
    assert [row[key] for row in json.loads(ran.stdout)][-1] == good
    assert ran.stderr.startswith(f"warning: {bad} of the package bad-package (entry point bad_package:")
    assert ran.stderr.endswith(f" in margin_core.{group}) cannot be imported: ModuleNotFoundError: No module named 'not_there'\n")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("key", "value"), [("families", "{ce: {}, focal_broken: {}}"), ("datasets", "[digits_broken]"), ("model", "flat_broken")]
)
def test_a_study_that_asks_for_what_cannot_be_had_is_refused_in_a_sentence(two_packages: dict[str, str], key: str, value: str) -> None:
    ran = command(two_packages, "preview", "quickstart", "--set", f"{key}={value}")
    assert ran.returncode == 2
    assert "of the package bad-package (entry point bad_package:" in ran.stderr
    assert ran.stderr.endswith("cannot be imported: ModuleNotFoundError: No module named 'not_there'\n")
    assert ran.stderr.count("\n") == 1


def test_a_study_that_asks_for_nothing_of_a_broken_package_never_hears_of_it(two_packages: dict[str, str]) -> None:
    other = ["families={ce: {}, focal_again: {}}", "datasets=[digits_again]", "model=flat_again", "confirm.families=1"]
    ran = command(two_packages, "preview", "quickstart", *(word for setting in other for word in ("--set", setting)))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "digits_again" in ran.stdout


def test_the_doctor_names_other_packages_and_what_is_wrong_with_them(two_packages: dict[str, str], tmp_path: Path) -> None:
    ran = command(two_packages, "doctor", "--json", "--workdir", str(tmp_path / "runs"))
    (check,) = [check for check in json.loads(ran.stdout)["checks"] if check["name"] == "other packages"]
    assert check["state"] == "wrong"
    assert check["found"].count("cannot be imported: ModuleNotFoundError") == 3
    assert check["advice"] == "mend or uninstall what is at fault: bad-package 1.0, good-package 1.0"
