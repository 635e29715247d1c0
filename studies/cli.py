"""The command ``margin-studies``.

Each command checks its call, hands the work to the rest of the package and prints the outcome, for a person or, with ``--json``,
for a machine. Exit status: 0 for success, 2 for a wrong call or study file, 1 for a study that too many failed trials ended, and
130 after Ctrl-C. Heavy libraries are imported only by the commands that need them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from studies.workspace import DEFAULT_WORKDIR

if TYPE_CHECKING:
    from studies.study import Outcome

app = typer.Typer(
    name="margin-studies",
    help="Hyperparameter studies of classification losses: which loss, with which knobs, on which data, and how surely.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Workdir = Annotated[Path, typer.Option(help="Where ledgers, checkpoints, MLflow's own store and reports go.")]
DataRoot = Annotated[Path | None, typer.Option(help="Where datasets lie; by default the environment variable MARGIN_DATA.")]
TrackingUri = Annotated[str | None, typer.Option(help="An MLflow server; by default a store of its own in the work directory.")]
Address = Annotated[str | None, typer.Option(help="A Ray cluster: HOST:PORT, ray://HOST:PORT or auto; by default this machine.")]
StudyName = Annotated[str | None, typer.Argument(help="A study's name or directory; not needed where the work directory holds one.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Change a key of the study file: --set screen.trials=20.")]


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def run(
    study: Annotated[str, typer.Argument(help="A preset's name, a study file, or an exported config.yaml.")],
    overrides: Overrides = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    address: Address = None,
    tracking_uri: TrackingUri = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Run a study to its report, going on from where it stopped; or repeat an exported trial."""
    from margin_core.data import resolve_data_root

    root = resolve_data_root(data_root)
    exported = _exported_trial(study, overrides or ())
    if exported is not None:
        _repeat(exported, root, as_json)
        return
    from studies.spec import read_study

    with _one_sentence():
        spec = read_study(study, overrides or ())
    _run(spec, workdir, address, tracking_uri, root, as_json)


@app.command()
def resume(
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    address: Address = None,
    tracking_uri: TrackingUri = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Finish a study that was interrupted."""
    from margin_core.data import resolve_data_root
    from studies.study import open_files, recorded_spec

    with _one_sentence():
        files = open_files(workdir, study)
        spec = recorded_spec(files)
    _run(spec, files.directory.parent, address, tracking_uri, resolve_data_root(data_root), as_json)


@app.command()
def preview(
    study: Annotated[str, typer.Argument(help="A preset's name or a study file.")], overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Show what a study would run: stages, cells, trials and epochs."""
    from studies.plan import stage_sizes
    from studies.spec import read_study

    with _one_sentence():
        spec = read_study(study, overrides or ())
        sizes = stage_sizes(spec)
    stages = [
        {"stage": s.stage, "cells": s.cells, "trials": s.trials, "epochs": s.trials * spec.recipe.epochs, "at_most": s.at_most}
        for s in sizes
    ]
    if as_json:
        _print_json({"study": spec.name, "stages": stages})
        return
    table = Table("stage", "cells", "trials", "epochs", title=f"{spec.name}: {', '.join(d.config().key for d in spec.datasets)}")
    for row in stages:
        bound = "≤ " if row["at_most"] else ""
        table.add_row(str(row["stage"]), f"{bound}{row['cells']}", f"{bound}{row['trials']}", f"{bound}{row['epochs']}")
    _console().print(table)


@app.command()
def status(study: StudyName = None, workdir: Workdir = DEFAULT_WORKDIR, as_json: AsJson = False) -> None:
    """Show how far a study is, and which trials were lost."""
    from studies.answer import open_answer
    from studies.study import open_files

    with _one_sentence():
        files = open_files(workdir, study)
        found = open_answer(files.directory)
    counts = found.counts.to_dict("records")
    lost = found.lost.to_dict("records")
    if as_json:
        _print_json({"study": found.spec.name, "directory": str(files.directory), "trials": counts, "lost": lost, "seconds": found.seconds})
        return
    console = _console()
    table = Table("stage", "status", "trials", title=found.spec.name)
    for row in counts:
        table.add_row(str(row["stage"]), str(row["status"]), str(row["trials"]))
    console.print(table)
    for row in lost:
        _say(console, f"{row['status']} {row['key']}: {row['reason']}")


@app.command()
def report(study: StudyName = None, workdir: Workdir = DEFAULT_WORKDIR, as_json: AsJson = False) -> None:
    """Write the report of a study as it stands, and print its answer."""
    from studies.answer import open_answer
    from studies.reporting import print_result
    from studies.study import open_files, write_results

    with _one_sentence():
        files = open_files(workdir, study)
        found = open_answer(files.directory)
    write_results(found, files)
    if as_json:
        _print_json({**found.to_dict(), "report": str(files.report), "verdicts_file": str(files.verdicts)})
        return
    console = _console()
    print_result(found, console)
    _say(console, f"report    {files.report}")


@app.command()
def export(
    study: StudyName = None,
    dataset: Annotated[str | None, typer.Option(help="Export one dataset only.")] = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Write the best configuration of each dataset as files that run."""
    from margin_core.data import resolve_data_root
    from studies.export import export_study
    from studies.study import open_files

    with _one_sentence():
        files = open_files(workdir, study)
        written = export_study(files, data_root=resolve_data_root(data_root), dataset=dataset)
    if as_json:
        _print_json({"exported": {name: str(path) for name, path in written.items()}})
        return
    console = _console()
    for name, path in written.items():
        _say(console, f"{name}: {path}")
        _say(console, f"  repeat it:  margin-studies run {path / 'config.yaml'}")


@app.command()
def ui(
    workdir: Workdir = DEFAULT_WORKDIR,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000,
    as_json: AsJson = False,
) -> None:
    """Open MLflow's page on the work directory's own store."""
    from studies.tracking.mlflow_mirror import embedded_uri

    store = workdir / "mlflow.db"
    with _one_sentence():
        if not store.is_file():
            raise FileNotFoundError(f"there is no MLflow store in {workdir}; run a study there first")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", embedded_uri(workdir)]
    command += ["--artifacts-destination", (workdir / "mlflow-artifacts").resolve().as_uri(), "--host", "127.0.0.1", "--port", str(port)]
    if as_json:
        _print_json({"url": f"http://127.0.0.1:{port}", "command": command})
        return
    _console().print(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", highlight=False)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.execv(command[0], command)


@app.command()
def doctor(
    address: Address = None,
    tracking_uri: TrackingUri = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Check the environment, and say what to do about what is wrong."""
    from studies.doctor import examine

    checks = examine(address=address, tracking_uri=tracking_uri, workdir=workdir, data_root=data_root)
    if as_json:
        _print_json({"checks": [check.to_dict() for check in checks]})
    else:
        table = Table("", "check", "found", "what to do", show_lines=False)
        marks = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "wrong": "[red]wrong[/red]"}
        for check in checks:
            table.add_row(marks[check.state], *map(escape, (check.name, check.found, check.advice)))
        _console().print(table)
    if any(check.state == "wrong" for check in checks):
        raise typer.Exit(1)


@app.command()
def losses(as_json: AsJson = False) -> None:
    """List the loss families and their knobs."""
    from margin_core.losses import get_family, list_losses

    families = [get_family(name) for name in list_losses()]
    rows = [
        {
            "family": family.name,
            "title": family.title,
            "reads": family.reads,
            "knob": knob.name if knob else "",
            "symbol": knob.symbol if knob else "",
            "default": knob.default if knob else "",
            "allowed": knob.allowed if knob else "",
            "grid": list(knob.grid) if knob else [],
        }
        for family in families
        for knob in (family.knobs or (None,))
    ]
    _print_rows(rows, as_json)


@app.command()
def datasets(data_root: DataRoot = None, as_json: AsJson = False) -> None:
    """List the datasets, and whether they can be read here."""
    from margin_core.data import check_dataset, list_datasets, resolve_data_root

    root = resolve_data_root(data_root)
    rows = []
    for name in list_datasets():
        try:
            check_dataset(name, root)
            state = "ready"
        except (ValueError, OSError) as error:
            state = str(error)
        rows.append({"dataset": name, "state": state})
    _print_rows(rows, as_json)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the models."""
    from margin_core.models import list_models

    _print_rows([{"model": name} for name in list_models()], as_json)


@app.command("studies")
def studies_(workdir: Workdir = DEFAULT_WORKDIR, as_json: AsJson = False) -> None:
    """List the studies that ship with the package and those in the work directory."""
    from studies.spec import list_presets, read_study
    from studies.workspace import find_studies

    rows = [{"study": name, "where": "preset", "about": read_study(name).description.strip()} for name in list_presets()]
    rows += [{"study": name, "where": str(workdir / name), "about": ""} for name in find_studies(workdir)]
    _print_rows(rows, as_json)


def _run(spec: Any, workdir: Path, address: str | None, tracking_uri: str | None, data_root: Path | None, as_json: bool) -> None:
    from studies.preflight import check_call
    from studies.progress import StudyDisplay
    from studies.study import run_study

    with _one_sentence():
        check_call(spec, workdir=workdir, address=address, tracking_uri=tracking_uri, data_root=data_root)
    console = _console()
    with _one_sentence(), _stdout_kept_clean(as_json), StudyDisplay(spec, None if as_json else console) as display:
        outcome = run_study(spec, workdir=workdir, watcher=display, address=address, tracking_uri=tracking_uri, data_root=data_root)
    if as_json:
        _print_json(
            {
                **outcome.answer.to_dict(),
                "complete": outcome.complete,
                "stopped": outcome.stopped,
                "directory": str(outcome.files.directory),
                "report": str(outcome.files.report),
                "tracking_uri": outcome.tracking_uri,
                "mirror_error": outcome.mirror_error,
            }
        )
    else:
        _print_outcome(outcome, workdir, console)
    if outcome.stopped:
        raise typer.Exit(1)
    if not outcome.complete:
        raise typer.Exit(130)


@contextmanager
def _stdout_kept_clean(as_json: bool) -> Iterator[None]:
    """With ``--json``, send to standard error what Ray's own processes print, so that standard output is JSON alone."""
    if not as_json:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _print_outcome(outcome: Outcome, workdir: Path, console: Console) -> None:
    from studies.reporting import print_result

    where = "" if workdir == DEFAULT_WORKDIR else f" --workdir {workdir}"
    print_result(outcome.answer, console)
    if outcome.stopped:
        _say(console, f"stopped: {outcome.stopped}", style="red")
    elif not outcome.complete:
        _say(console, f"interrupted; finish it with:  margin-studies resume {outcome.spec.name}{where}")
    _say(console, f"report    {outcome.files.report}")
    _say(console, f"verdicts  {outcome.files.verdicts}")
    _say(console, f"export    margin-studies export {outcome.spec.name}{where}")
    _say(console, f"MLflow    {'margin-studies ui' + where if outcome.tracking_uri.startswith('sqlite:') else outcome.tracking_uri}")
    if outcome.mirror_error:
        lost = f"MLflow did not take everything ({outcome.mirror_error}); the ledger has it, and resume sends it again"
        _say(console, lost, style="yellow")


def _exported_trial(path: str, overrides: Iterable[str]) -> Any:
    from studies.export import TRIAL_KIND, ExportedTrial
    from studies.spec import apply_overrides, parse_yaml, read_text

    if not Path(path).is_file():
        return None
    with _one_sentence():
        data = parse_yaml(read_text(Path(path)))
        if not isinstance(data, dict) or data.get("kind") != TRIAL_KIND:
            return None
        return ExportedTrial.from_dict(apply_overrides(data, overrides))


def _repeat(exported: Any, data_root: Path | None, as_json: bool) -> None:
    from margin_core.data import check_dataset

    with _one_sentence():
        check_dataset(exported.cell.dataset.name, data_root)
    trial = exported.open(data_root)
    metrics: dict[str, float] = {}
    console = _console()
    with console.status("training") as shown:
        while not trial.done:
            epoch = trial.run_epoch()
            metrics = epoch.metrics
            shown.update(f"epoch {epoch.epoch}/{exported.cell.recipe.epochs}")
    same = {name: metrics.get(name) == value for name, value in exported.result.items()}
    if as_json:
        _print_json({"metrics": metrics, "recorded": exported.result, "same": all(same.values())})
        return
    table = Table("metric", "now", "recorded", "same")
    for name, value in metrics.items():
        recorded = exported.result.get(name)
        table.add_row(name, repr(value), "" if recorded is None else repr(recorded), {True: "yes", False: "no"}.get(same.get(name), ""))  # type: ignore[arg-type]
    console.print(table)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn what a user can get wrong into one sentence on standard error and exit status 2."""
    from studies.preflight import CallError
    from studies.spec import StudyFileError
    from studies.study import StudyError
    from studies.tracking.ledger import LedgerError

    try:
        yield
    except (CallError, StudyFileError, StudyError, LedgerError, FileNotFoundError) as error:
        _say(Console(stderr=True), f"[red]error[/red]: {escape(str(error))}", markup=True)
        raise typer.Exit(2) from None


def _console() -> Console:
    """Standard output; where it is no terminal, wide enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=100)


def _say(console: Console, text: str, *, style: str = "", markup: bool = False) -> None:
    """Print a line as it is: paths and reasons may hold brackets, and must not be wrapped."""
    console.print(text, style=style, markup=markup, highlight=False, soft_wrap=True)


def _print_json(data: object) -> None:
    print(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, default=str))


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        _print_json(rows)
        return
    table = Table(*rows[0]) if rows else Table()
    for row in rows:
        table.add_row(
            *("  ".join(f"{item:g}" for item in value) if isinstance(value, list) else escape(str(value)) for value in row.values())
        )
    _console().print(table)
