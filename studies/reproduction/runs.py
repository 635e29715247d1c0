"""Running a table: its studies one after the other as any study is run, and finding what was run of it before."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from margin_core.machine import processor_name
from studies.plain_yaml import StudyFileError
from studies.preflight import CallError, check_call
from studies.progress import StudyDisplay
from studies.reproduction.result import Result, read_result
from studies.reproduction.table import Table, needs
from studies.spec import StudySpec
from studies.study import Outcome, run_study
from studies.tracking.ledger import Ledger
from studies.workspace import find_studies, study_files

logger = logging.getLogger(__name__)


def run_table(
    table: Table,
    *,
    workdir: Path,
    display: Callable[[StudySpec], StudyDisplay],
    quick: bool = False,
    seeds: int | None = None,
    overrides: Sequence[str] = (),
    address: str | None = None,
    tracking_uri: str | None = None,
    data_root: Path | None = None,
) -> tuple[Result | None, Outcome]:
    """Run what is missing of a table's studies, and read what they came to.

    Every study is checked before the first one starts; after one that did not end whole, no other starts, and there is no result.

    Returns:
        The result, and how the last study ended.

    Raises:
        CallError: Where the table needs what is not here, or is not to be shortened.
        StudyFileError: Where ``overrides`` leave an arm without its cell, or are no study.
    """
    if lacking := needs(table, data_root):
        raise CallError(f"{table.name}: not run: needs {lacking}")
    if quick and not table.quick:
        raise CallError(f"{table.name} has no quick form")
    specs = table.specs(quick=quick, seeds=seeds, overrides=overrides)
    table.cells(specs)
    options = {"workdir": workdir, "address": address, "tracking_uri": tracking_uri, "data_root": data_root}
    for spec in specs.values():
        for warning in check_call(spec, **options):  # type: ignore[arg-type]
            logger.warning("%s", warning)
    for spec in specs.values():
        with display(spec) as watcher:
            outcome = run_study(spec, watcher=watcher, **options)  # type: ignore[arg-type]
        with Ledger(outcome.files.ledger) as ledger:
            ledger.set_meta("machine", f"a Ray cluster at {address}" if address not in (None, "local") else describe_machine())
        if not outcome.complete:
            return None, outcome
    return _open(table, workdir, {part: spec.name for part, spec in specs.items()}), outcome


def find_result(table: Table, workdir: Path) -> Result | None:
    """What ``workdir`` holds of a table; None where it holds nothing.

    Of several runs of it one that has ended comes first, then the whole protocol, then the one that trained the longest.
    """
    parts = list(table.parts or {"": {}})
    variants: dict[str, set[str]] = {}
    for study in find_studies(workdir):
        if match := re.fullmatch(rf"({re.escape(table.name)}(?:-quick)?(?:-seeds\d+)?(?:-set[0-9a-f]{{8}})?)(?:\.([a-z0-9-]+))?", study):
            variants.setdefault(match[1], set()).add(match[2] or "")
    whole = [variant for variant, found in variants.items() if found >= set(parts)]
    results = []
    for variant in whole:
        with suppress(StudyFileError):  # it is of another release's table, which has other cells
            results.append(_open(table, workdir, {part: f"{variant}.{part}" if part else variant for part in parts}))
    return max(results, key=lambda result: (result.complete, result.protocol == "whole", result.seconds), default=None)


def describe_machine() -> str:
    """The processor, what of it there is, and the GPU: what seconds are of."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    cores = os.cpu_count() or 1
    return f"{cores} core{'s' if cores > 1 else ''} of {processor_name()}{gpu}, torch {torch.__version__}"


def _open(table: Table, workdir: Path, names: dict[str, str]) -> Result:
    with ExitStack() as stack:
        files = {part: study_files(workdir, name).ledger for part, name in names.items()}
        ledgers = {part: stack.enter_context(Ledger(path, read_only=True)) for part, path in files.items()}
        return read_result(table, ledgers)
