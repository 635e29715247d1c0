"""What a running study looks like in the terminal: a bar, the trials that run, and the best so far.

On a terminal this is a live display; elsewhere (a log file, CI) it is one plain line for every tenth of a stage.
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from studies.described import describe
from studies.plan import PlannedTrial
from studies.spec import StudySpec


class StudyDisplay:
    """Follows a study; a context manager around the run.

    Args:
        spec: The study.
        console: Where to draw; None draws nothing (``--json``).
    """

    def __init__(self, spec: StudySpec, console: Console | None) -> None:
        self._spec = spec
        self._console = console
        self._running: dict[str, tuple[PlannedTrial, int, float | None]] = {}
        self._best: dict[str, tuple[float, PlannedTrial]] = {}
        self._lost = 0
        self._ended = 0
        self._total = 0
        self._stage = ""
        self._progress = Progress(
            TextColumn("[bold]{task.description:8}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("trials"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._task: TaskID | None = None
        live = console is not None and console.is_terminal
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=4, transient=True) if live else None

    def __enter__(self) -> StudyDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def stage_started(self, stage: str, total: int, ended: int) -> None:
        """Begin a bar for the stage."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(stage, total=total, completed=ended)
        self._stage, self._total, self._ended = stage, total, ended
        self._best, self._lost = {}, 0
        earlier = f", {ended} of them done before" if ended else ""
        self._say(f"[bold]{stage}[/bold]: {total} trials{earlier}")

    def trial_started(self, trial: PlannedTrial) -> None:
        """Show the trial among those that run."""
        self._running[trial.key] = (trial, 0, None)

    def trial_reported(self, trial: PlannedTrial, epoch: int, metrics: dict[str, float]) -> None:
        """Show how far it is."""
        self._running[trial.key] = (trial, epoch, metrics.get(self._spec.metric))

    def trial_ended(self, trial: PlannedTrial, status: str, reason: str, metrics: dict[str, float]) -> None:
        """Move the bar; a lost trial is named with its reason."""
        self._running.pop(trial.key, None)
        if status in ("interrupted", "paused"):
            if reason:
                self._say(f"[yellow]again[/yellow] {trial.key} ({describe(trial.config)}): {escape(reason)}")
            return
        self._ended += 1
        if self._task is not None:
            self._progress.update(self._task, completed=self._ended)
        if status in ("failed", "diverged"):
            self._lost += 1
            self._say(f"[yellow]{status}[/yellow] {trial.key} ({describe(trial.config)}): {escape(reason)}")
        else:
            self._note_best(trial, metrics.get(self._spec.metric))
        if not self._live and self._total and (self._ended * 10 // self._total) > ((self._ended - 1) * 10 // self._total):
            self._say(f"{self._stage}: {self._ended}/{self._total} trials")

    def _note_best(self, trial: PlannedTrial, value: float | None) -> None:
        if value is None:
            return
        held = self._best.get(trial.dataset)
        if held is None or (value > held[0] if self._spec.maximize else value < held[0]):
            self._best[trial.dataset] = (value, trial)

    def _say(self, text: str) -> None:
        if self._console is not None:
            self._console.print(text, highlight=False)

    def _draw(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
        for column in ("running", "dataset", "setting", "epoch", self._spec.metric):
            table.add_column(column, no_wrap=True)
        for trial, epoch, value in list(self._running.values())[:8]:
            shown = "" if value is None else f"{value:.2f}"
            table.add_row(trial.cell.family, trial.dataset, describe(trial.config), f"{epoch}/{self._spec.recipe.epochs}", shown)
        for dataset, (value, trial) in self._best.items():
            table.add_row(f"[green]best[/green] {trial.cell.family}", dataset, describe(trial.config), "", f"[green]{value:.2f}[/green]")
        return Group(self._progress, table)
