"""The commands that run trials: ``run`` and ``resume``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from studies.cli.options import Address, AsJson, DataRoot, Overrides, Quick, RetryFailed, StorageUrl, StudyName, TrackingUri, Workdir
from studies.cli.output import decoding_told, one_sentence, print_json, say, stdout, stdout_kept_clean, warn
from studies.workspace import DEFAULT_WORKDIR, open_files, study_files

if TYPE_CHECKING:
    from studies.export import ExportedTrial
    from studies.spec import StudySpec
    from studies.study import Outcome


def run(
    study: Annotated[str, typer.Argument(help="A preset's name, a study file, or an exported config.yaml.")],
    overrides: Overrides = None,
    quick: Quick = False,
    branch: Annotated[
        str | None, typer.Option(help="Run it as a study of this name beside the one it changes, taking over the trials that are the same.")
    ] = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    address: Address = None,
    tracking_uri: TrackingUri = None,
    data_root: DataRoot = None,
    storage: StorageUrl = None,
    retry_failed: RetryFailed = False,
    as_json: AsJson = False,
) -> None:
    """Run a study to its report, going on from where it stopped or from less that was asked for; or repeat an exported trial."""
    from margin_core.data import resolve_data_root

    root = resolve_data_root(data_root)
    exported = _exported_trial(study, overrides or ())
    if exported is not None:
        if branch is not None or quick:
            reason = "an exported trial is no study and has no branches and no short form"
            raise typer.BadParameter(reason, param_hint="--quick" if branch is None else "--branch")
        _repeat(exported, root, as_json)
        return
    from studies.spec import read_study, study_from

    with one_sentence():
        spec = read_study(study, overrides or (), quick=quick)
        parent = None if branch is None else spec.name
        if branch is not None:
            spec = study_from({**spec.model_dump(mode="json"), "name": branch})
    _run(spec, workdir, address, tracking_uri, root, storage, retry_failed, as_json, parent)


def resume(
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    address: Address = None,
    tracking_uri: TrackingUri = None,
    data_root: DataRoot = None,
    storage: StorageUrl = None,
    retry_failed: RetryFailed = False,
    as_json: AsJson = False,
) -> None:
    """Finish a study that was interrupted, by the name of one whose ledger is on a storage on another machine too."""
    from margin_core.data import resolve_data_root
    from studies.storage import Storage
    from studies.stored import fetch_ledger
    from studies.study import recorded_spec

    with one_sentence():
        if storage is not None and study is not None:
            fetch_ledger(study_files(workdir, study), Storage(storage, study))
        files = open_files(workdir, study)
        spec = recorded_spec(files)
    _run(spec, files.directory.parent, address, tracking_uri, resolve_data_root(data_root), storage, retry_failed, as_json)


def _run(
    spec: StudySpec,
    workdir: Path,
    address: str | None,
    tracking_uri: str | None,
    data_root: Path | None,
    storage: str | None,
    retry_failed: bool,
    as_json: bool,
    parent: str | None = None,
) -> None:
    from studies.claim import check_claim
    from studies.preflight import check_call
    from studies.progress import StudyDisplay
    from studies.study import run_study
    from studies.workspace import study_files

    with one_sentence(), decoding_told():
        check_claim(spec, study_files(workdir, spec.name), None if parent is None else study_files(workdir, parent))
        warn(check_call(spec, workdir=workdir, address=address, tracking_uri=tracking_uri, data_root=data_root, storage=storage))
    console = stdout()
    with one_sentence(), stdout_kept_clean(as_json), StudyDisplay(spec, None if as_json else console) as display:
        options = {"address": address, "tracking_uri": tracking_uri, "storage": storage, "parent": parent}
        outcome = run_study(spec, workdir=workdir, watcher=display, data_root=data_root, retry_failed=retry_failed, **options)
    if as_json:
        print_json(
            {
                **outcome.answer.to_dict(),
                "complete": outcome.complete,
                "stopped": outcome.stopped,
                "budget": outcome.budget,
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
    if not outcome.complete and not outcome.budget:
        raise typer.Exit(130)


def _print_outcome(outcome: Outcome, workdir: Path, console: Console) -> None:
    from studies.reporting.terminal import print_result

    where = "" if workdir == DEFAULT_WORKDIR else f" --workdir {workdir}"
    print_result(outcome.answer, console)
    if outcome.stopped:
        say(console, f"stopped: {outcome.stopped}", style="red")
    elif outcome.budget:
        say(console, f"budget    {outcome.budget}; go on with more of it:  margin-studies run STUDY{where} --set budget...", style="yellow")
    elif not outcome.complete:
        say(console, f"interrupted; finish it with:  margin-studies resume {outcome.spec.name}{where}")
    say(console, f"report    {outcome.files.report}")
    say(console, f"verdicts  {outcome.files.verdicts}")
    say(console, f"export    margin-studies export {outcome.spec.name}{where}")
    say(console, f"MLflow    {'margin-studies ui' + where if outcome.tracking_uri.startswith('sqlite:') else outcome.tracking_uri}")
    if outcome.mirror_error:
        lost = f"MLflow lacks something ({outcome.mirror_error}); send it with:  margin-studies sync {outcome.spec.name}{where}"
        lost += "" if outcome.tracking_uri.startswith("sqlite:") else f" --tracking-uri {outcome.tracking_uri}"
        say(console, lost, style="yellow")


def _exported_trial(path: str, overrides: Iterable[str]) -> ExportedTrial | None:
    from studies.export import TRIAL_KIND, ExportedTrial
    from studies.plain_yaml import apply_overrides, parse_yaml, read_text

    if not Path(path).is_file():
        return None
    with one_sentence():
        data = parse_yaml(read_text(Path(path)))
        if not isinstance(data, dict) or data.get("kind") != TRIAL_KIND:
            return None
        return ExportedTrial.from_dict(apply_overrides(data, overrides))


def _repeat(exported: ExportedTrial, data_root: Path | None, as_json: bool) -> None:
    from margin_core.data import check_dataset

    with one_sentence(), decoding_told():
        check_dataset(exported.cell.dataset.name, data_root)
        trial = exported.open(data_root)
    metrics: dict[str, float] = {}
    begins_alike = True
    console = stdout()
    with one_sentence(), stdout_kept_clean(as_json), console.status("training") as shown:
        for number, metrics in exported.train(trial, data_root):
            shown.update(f"epoch {number}/{exported.cell.recipe.epochs}")
            if number == 1:
                begins_alike = exported.begins_alike(metrics, trial.steps_per_epoch)
    same = {name: exported.repeats(metrics.get(name), value) for name, value in exported.result.items()}
    if as_json:
        alike = {"begins_alike": begins_alike, "same": begins_alike and all(same.values()), "fused": exported.fused}
        print_json({"metrics": metrics, "recorded": exported.result, **alike})
        return
    table = Table("metric", "now", "recorded", "same")
    for name, value in metrics.items():
        recorded = exported.result.get(name)
        told = "" if name not in same else "no" if not same[name] else "yes" if value == recorded else "nearly"
        table.add_row(name, repr(value), "" if recorded is None else repr(recorded), told)
    console.print(table)
    if not begins_alike:
        say(
            console,
            f"Its first epoch is another one than was recorded{', by more than rounding' if exported.fused else ''}.",
            style="yellow",
        )
    elif exported.fused and metrics != exported.result:
        say(console, "It was trained in an array, and began as recorded: the rest is rounding, which grows with training.")
