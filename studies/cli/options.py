"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Workdir = Annotated[Path, typer.Option(help="Where ledgers, checkpoints, MLflow's own store and reports go.")]
DataRoot = Annotated[Path | None, typer.Option(help="Where datasets lie; by default the environment variable MARGIN_DATA.")]
TrackingUri = Annotated[
    str | None,
    typer.Option(envvar="MLFLOW_TRACKING_URI", help="An MLflow server; by default a store of its own in the work directory."),
]
Address = Annotated[str | None, typer.Option(help="A Ray cluster: HOST:PORT, ray://HOST:PORT or auto; by default this machine.")]
StorageUrl = Annotated[
    str | None,
    typer.Option(
        "--storage", help="Where checkpoints and a copy of the ledger go, s3://bucket/folder or the like; by default the work directory."
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try trials again that failed in an earlier run.")]
StudyName = Annotated[str | None, typer.Argument(help="A study's name or directory; not needed where the work directory holds one.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Change a key of the study file: --set screen.trials=20.")]
Quick = Annotated[bool, typer.Option("--quick", help="The study's short form, where its file has one; its name ends in -quick.")]
