"""The commands that send a study's results on: ``export``, to files and MLflow's registered models, and ``sync``, to MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studies.cli.options import AsJson, DataRoot, StudyName, TrackingUri, Workdir
from studies.cli.output import collect_seldom, one_sentence, print_json, say, stdout, warn
from studies.workspace import DEFAULT_WORKDIR, open_files

if TYPE_CHECKING:
    from studies.export_graph import Format
    from studies.workspace import StudyFiles


def export(
    study: StudyName = None,
    dataset: Annotated[str | None, typer.Option(help="Export one dataset only.")] = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    data_root: DataRoot = None,
    tracking_uri: TrackingUri = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write the network as an ONNX file, too.")] = False,
    torch_export: Annotated[bool, typer.Option("--torch-export", help="Write the network as a torch.export program, too.")] = False,
    register: Annotated[bool, typer.Option("--register", help="Make it a version of a registered model in MLflow, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the best configuration of each dataset as files that run."""
    collect_seldom()
    from margin_core.data import resolve_data_root
    from studies.export import export_study

    lacking = ""
    formats: list[Format] = [*(["onnx"] if onnx else []), *(["torch"] if torch_export else [])]  # type: ignore[list-item]
    with one_sentence():
        files = open_files(workdir, study)
        written = export_study(files, data_root=resolve_data_root(data_root), dataset=dataset, formats=formats)
        if register:
            _, lacking = _send(files, tracking_uri, written)
    if as_json:
        told = {"mirror_error": lacking} if register else {}
        print_json({"exported": {name: str(path) for name, path in written.items()}, **told})
    else:
        console = stdout()
        for name, path in written.items():
            say(console, f"{name}: {path}")
            say(console, f"  repeat it:  margin-studies run {path / 'config.yaml'}")
    if lacking:
        warn([f"nothing was registered: {lacking}"])
        raise typer.Exit(1)


def sync(study: StudyName = None, workdir: Workdir = DEFAULT_WORKDIR, tracking_uri: TrackingUri = None, as_json: AsJson = False) -> None:
    """Send MLflow what it lacks of a study, also another server than the first."""
    with one_sentence():
        files = open_files(workdir, study)
        shown, lacking = _send(files, tracking_uri)
    if as_json:
        print_json({"study": files.directory.name, "tracking_uri": shown, "mirror_error": lacking})
    elif not lacking:
        say(stdout(), f"MLflow at {shown} has everything of {files.directory.name}")
    if lacking:
        warn([f"MLflow at {shown}: {lacking}"])
        raise typer.Exit(1)


def _send(files: StudyFiles, tracking_uri: str | None, exported: Mapping[str, Path] | None = None) -> tuple[str, str]:
    """Send a study that nobody runs; returns where to, and what is lacking there still."""
    from studies.mirroring import send_study
    from studies.preflight import CallError
    from studies.study import recorded_spec, sole_driver
    from studies.tracking.address import check_tracking_uri, embedded_uri, without_credentials

    uri = tracking_uri or embedded_uri(files.directory.parent)
    try:
        check_tracking_uri(uri)
    except (ValueError, OSError) as error:
        raise CallError(str(error)) from error
    with sole_driver(files):
        return without_credentials(uri), send_study(files, recorded_spec(files), uri, exported)
