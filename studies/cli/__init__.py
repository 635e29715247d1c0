"""The command ``margin-studies``.

Each command checks its call, hands the work to the rest of the package and prints the outcome, for a person or, with ``--json``,
for a machine. Exit status: 0 for success, also where a study's budget is used up, 2 for a wrong call or study file, 1 for a study that too
many failed trials ended, and 130 after Ctrl-C. Heavy libraries are imported only by the commands that need them.
"""

from __future__ import annotations

import typer

from studies.cli import comparing, describing, judging, listing, previewing, reading, recommending, reproducing, running, sending

__all__ = ["app", "main"]

app = typer.Typer(
    name="margin-studies",
    help="Hyperparameter studies of classification losses: which loss, with which knobs, on which data, and how surely.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    running.run,
    running.resume,
    previewing.preview,
    reproducing.reproduce,
    reading.status,
    reading.report,
    judging.judge,
    comparing.compare,
    comparing.claims,
    sending.export,
    sending.sync,
    reading.ui,
    describing.describe,
    recommending.recommend,
    listing.doctor,
    listing.losses,
    listing.datasets,
    listing.models,
    listing.studies,
):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    app()
