"""The answer in the terminal: the last lines of a run, with the same sentences and numbers as the report."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from studies.findings import Answer
from studies.reporting.notes import notes
from studies.reporting.sections.surfaces import sentence as surface_sentence
from studies.reporting.sentences import headline, shift_sentences
from studies.reporting.tables import verdict_rows
from studies.reporting.topology import topology_sentences
from studies.reporting.wording import metric_words

STYLES = {
    "LOCATED": "bold green",
    "BETTER": "bold green",
    "EDGE": "green",
    "FLAT": "default",
    "WORSE": "yellow",
    "UNDECIDED": "dim",
}


def headlines(answer: Answer) -> list[str]:
    """The answer for each dataset, one sentence each."""
    return [headline(answer, dataset) for dataset in answer.datasets]


def result_table(answer: Answer, dataset: str, title: str = "") -> Table:
    """For each family on ``dataset`` the verdict, the setting that stands for it, its mean, its gain over ``ce`` and the seeds.

    It is made to be read at 100 columns; at 80, settings take more lines.
    """
    words = metric_words(answer.spec)
    table = Table(title=title or dataset, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.header_style = "dim"
    table.add_column("family", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("setting")
    table.add_column(f"mean{words.unit and ','}{words.unit}", justify="right", no_wrap=True)
    table.add_column(f"gain{words.points and ','}{words.points}", justify="right", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    for row in verdict_rows(answer):
        if row["dataset"] == dataset:
            seeds = f"{row['seeds']} {row['more'].removesuffix(' to decide')}".strip()
            setting = f"{row['setting']} *" if row["setting_note"] else row["setting"]
            label = Text(row["label"], style=STYLES[row["label"]])
            table.add_row(Text(row["family"]), label, Text(setting), Text(row["mean"]), Text(row["gain"]), Text(seeds))
    return table


def print_result(answer: Answer, console: Console) -> None:
    """Print a study's answer: its table with a key to it, what is missing, and the headlines."""
    rows = verdict_rows(answer)
    if rows:
        for dataset in dict.fromkeys(row["dataset"] for row in rows):
            console.print(result_table(answer, dataset))
            if any(curve.dataset == dataset for curve in answer.zooms):
                console.print(result_table(answer.closer(), dataset, f"{dataset}, a closer look on fresh seeds"))
        if any(row["setting_note"] for row in rows):
            console.print(
                "* picked on these same seeds: the mean is optimistic, and a gain is told only where a zoom measured it again",
                style="dim",
                highlight=False,
            )
        more = ", and how many more might decide" if any(row["more"] for row in rows) else ""
        console.print(f"gain: over ce, paired by seed; seeds: how many were compared{more}", style="dim", highlight=False)
    for surface in answer.surfaces:
        console.print(surface_sentence(answer, surface), highlight=False)
    for note in notes(answer):
        console.print(note, style="yellow", highlight=False)
    for sentence in [*headlines(answer), *shift_sentences(answer), *topology_sentences(answer.topology)]:
        console.print(sentence, highlight=False, markup=False)
