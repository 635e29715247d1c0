"""The commands that read a ledger: ``status``, ``report``, and ``ui`` for its mirror."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from studies.cli.options import AsJson, StudyName, Workdir
from studies.cli.output import collect_seldom, one_sentence, print_json, print_placement, say, stdout
from studies.tracking.address import UI_PORT
from studies.workspace import DEFAULT_WORKDIR, open_files

if TYPE_CHECKING:
    from studies.tracking.ledger import Ledger
    from studies.warm_start import WarmStart


def status(study: StudyName = None, workdir: Workdir = DEFAULT_WORKDIR, as_json: AsJson = False) -> None:
    """Show how far a study is, where its trials run, and which were lost."""
    from studies.placement import read_placement
    from studies.spending import spent, spent_words
    from studies.tracking.ledger import Ledger

    with one_sentence():
        files = open_files(workdir, study)
        with Ledger(files.ledger, read_only=True) as ledger:
            study_file, counts, lost, seconds = ledger.study_file(), ledger.counts(), ledger.lost(), ledger.seconds()
            history, parent, copied = ledger.changes(), ledger.parent(), ledger.copied()
            spending, early, warm = spent(ledger), ledger.meta("ended_early") or "", _warm_start(ledger)
    placement = read_placement(files)
    if as_json:
        where = None if placement is None else asdict(placement)
        about = {"study": study_file["name"], "directory": str(files.directory), "trials": counts, "lost": lost, "seconds": seconds}
        about["spent"] = {"hours": spending.hours, "device_hours": spending.device_hours, "runs": spending.runs}
        about |= {"ended_early": early, "branch_of": parent, "copied": copied, "warm_start": None if warm is None else warm.to_dict()}
        print_json({**about, "history": [change.to_dict() for change in history], "placement": where})
        return
    console = stdout()
    table = Table("stage", "status", "trials", title=study_file["name"])
    for row in counts:
        table.add_row(str(row["stage"]), str(row["status"]), str(row["trials"]))
    console.print(table)
    if placement is not None:
        print_placement(placement, console)
    if spending.runs:
        say(console, spent_words(spending, study_file))
    if early:
        say(console, f"ended early: {early}")
    if parent:
        say(console, f"branch of {parent}, where {copied} of its trials ran")
    if warm is not None:
        say(console, str(warm))
    for change in history:
        say(console, str(change))
    for row in lost:
        say(console, f"{row['status']} {row['key']}: {row['reason']}")


def _warm_start(ledger: Ledger) -> WarmStart | None:
    if ledger.meta("warm_start") is None:
        return None
    from studies.warm_start import recorded_warm_start  # brings torch and pandas, for which most studies need not wait here

    return recorded_warm_start(ledger)


def report(
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    text: Annotated[bool, typer.Option("--text", help="Print verdicts with small plots, and write nothing.")] = False,
    figures: Annotated[Path | None, typer.Option(help="Write the figures as SVG and PNG, and the tables as CSV, here too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a study as it stands, and print its answer."""
    collect_seldom()
    from studies.answer import open_answer
    from studies.preflight import CallError
    from studies.reporting.terminal import print_result
    from studies.reporting.text import text_report
    from studies.study import write_results

    with one_sentence():
        if figures is not None and text:
            raise CallError("--text writes nothing, so --figures needs a report without it")
        if figures is not None and figures.exists() and not figures.is_dir():
            raise CallError(f"--figures needs a folder, and {figures} is a file")
        files = open_files(workdir, study)
        found = open_answer(files.directory)
    if text and not as_json:
        say(stdout(), text_report(found))
        return
    if not text:
        write_results(found, files)
    if figures is not None:
        from studies.opened import open_directory, write_files

        written = write_files(open_directory(files.directory), figures)
    if as_json:
        beside = {} if figures is None else {"figures": [str(path) for path in written]}
        print_json({**found.to_dict(), "report": str(files.report), "verdicts_file": str(files.verdicts), **beside})
        return
    console = stdout()
    print_result(found, console)
    say(console, f"report    {files.report}")
    if figures is not None:
        say(console, f"figures   {figures}")


def ui(
    workdir: Workdir = DEFAULT_WORKDIR,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = UI_PORT,
    as_json: AsJson = False,
) -> None:
    """Open MLflow's page on the work directory's own store."""
    from studies.tracking.address import embedded_uri

    store = workdir / "mlflow.db"
    with one_sentence():
        if not store.is_file():
            raise FileNotFoundError(f"there is no MLflow store in {workdir}; run a study there first")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", embedded_uri(workdir)]
    command += ["--artifacts-destination", (workdir / "mlflow-artifacts").resolve().as_uri(), "--host", "127.0.0.1", "--port", str(port)]
    if as_json:
        print_json({"url": f"http://127.0.0.1:{port}", "command": command})
        return
    stdout().print(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", highlight=False)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.execv(command[0], command)
