"""The report as a browser lays it out."""

from __future__ import annotations

import html
import re
import struct
import subprocess
from dataclasses import replace
from shutil import which

import pytest

from margin_core.topology import Estimate
from studies.answer import open_answer
from studies.reporting.report import render_report
from studies.reporting.sections import sections_of
from studies.topology import Described
from tests.studies.builders import stored_study

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]

# The report in a frame as wide as a telephone, and beside it what the browser makes of it.
MEASURE = """<!doctype html><body><iframe width="{width}" height="800" srcdoc="{page}"></iframe><script>
addEventListener("load", () => {{
  const frame = document.querySelector("iframe").contentDocument, root = frame.documentElement;
  const cut = [...frame.querySelectorAll("svg[role=img]")].filter((svg) => {{
    const box = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].some((text) => {{
      const place = text.getBoundingClientRect();
      return place.left < box.left - 1 || place.right > box.right + 1 || place.top < box.top - 1 || place.bottom > box.bottom + 1;
    }});
  }});
  const figures = frame.querySelectorAll("svg[role=img]").length;
  document.body.dataset.measured = [root.scrollWidth, root.clientWidth, figures, cut.length].join(" ");
}});
</script></body>"""


@pytest.fixture
def browse(chromium, tmp_path):
    """Run Chromium on a page; returns what it prints."""

    def run(page, *options):
        file = tmp_path / "page.html"
        file.write_text(page)
        command = [chromium, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *options, file.as_uri()]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout

    return run


def measure(browse, page, width):
    shown = browse(MEASURE.format(width=width, page=html.escape(page)), "--dump-dom", "--virtual-time-budget=5000")
    measured = re.search(r'data-measured="([\d ]+)"', shown)
    assert measured is not None
    return [int(number) for number in measured[1].split()]


@pytest.fixture(scope="module", params=["made", "run"])
def study(request, found, tmp_path_factory):
    """A study that was made for its report, and one that Ray ran, as its ledger was left."""
    if request.param == "made":
        return found
    return open_answer(stored_study("version-4", tmp_path_factory.mktemp("stored")).directory)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_figures_are_whole_and_the_page_never_scrolls_sideways(browse, study, width):
    scroll_width, client_width, figures, cut = measure(browse, render_report(study), width)
    assert scroll_width <= client_width
    assert figures == sum(len(section.figures) for section in sections_of(study))
    assert cut == 0


@pytest.mark.browser
def test_long_names_and_settings_do_not_push_the_page_wide(browse, build, peaked):
    datasets = [{"dataset": "digits", "label": "a-dataset-with-a-very-long-name-that-nobody-would-choose-twice"}]
    answer = build(peaked, name="n" * 80, datasets=datasets, regularizers={"sample_margin": {"weight": [0.125]}})
    scroll_width, client_width, _, _ = measure(browse, render_report(answer), 390)
    assert scroll_width <= client_width


@pytest.mark.browser
def test_the_report_can_be_looked_at(browse, page, tmp_path):
    browse(page, f"--screenshot={tmp_path / 'report.png'}", "--window-size=1280,2000")
    image = (tmp_path / "report.png").read_bytes()
    assert struct.unpack(">II", image[16:24]) == (1280, 2000)
    assert len(image) > 50_000


@pytest.mark.browser
@pytest.mark.parametrize("size", ["1280,2000", "390,2000"])
def test_the_console_has_nothing_to_say_of_the_report(chromium, study, tmp_path, size):
    page = render_report(study)

    def console(text):
        file = tmp_path / "page.html"
        file.write_text(text)
        options = ["--enable-logging=stderr", f"--window-size={size}", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
        shown = subprocess.run([chromium, *FLAGS, *options, file.as_uri()], check=True, capture_output=True, text=True, timeout=120)
        return [line for line in shown.stderr.splitlines() if "CONSOLE" in line]

    assert console(page) == []
    assert console(page.replace("</main>", '<svg><path d="M NaN 0"/></svg></main>'))


@pytest.fixture
def printed(chromium, tmp_path):
    """Print a page as a PDF, for a person who likes the dark; returns its file."""
    if which("pdftotext") is None:
        pytest.skip("pdftotext is not installed (poppler-utils)")

    def run(page):
        file, pdf = tmp_path / "page.html", tmp_path / "page.pdf"
        file.write_text(page)
        options = ["--no-pdf-header-footer", "--blink-settings=preferredColorScheme=0", f"--user-data-dir={tmp_path / 'profile'}"]
        subprocess.run([chromium, *FLAGS, *options, f"--print-to-pdf={pdf}", file.as_uri()], check=True, capture_output=True, timeout=120)
        return pdf

    return run


def pages(pdf):
    """The lines of each printed page."""
    told = subprocess.run(["pdftotext", "-layout", pdf, "-"], check=True, capture_output=True, text=True).stdout
    return [[" ".join(line.split()) for line in page.splitlines() if line.strip()] for page in told.split("\f") if page.strip()]


@pytest.mark.browser
def test_on_paper_nothing_folded_or_wide_is_lost_no_heading_is_left_behind_and_the_ground_is_white(printed, build, peaked, tmp_path):
    datasets = [{"dataset": "digits", "label_noise": step / 20, "label": f"a-name-of-some-length-{step}"} for step in range(10)]
    answer = build(peaked, datasets=datasets, families={"ce": None, "gds": None}, nuisance={"lr": 0.1}, seeds=2)
    told = {name: {"hubness": Estimate(float(place), 0.125)} for place, name in enumerate(answer.datasets)}
    answer = replace(answer, topology=replace(answer.topology, described=(Described("lenet5", 1000, 10, told),)))
    pdf, titles = printed(render_report(answer)), {section.title for section in sections_of(answer)}
    sheets = pages(pdf)
    lines = [line for sheet in sheets for line in sheet]
    assert titles <= set(lines)
    assert not titles & {sheet[-1] for sheet in sheets}
    folded = [line for line in lines if "Leading configurations on" in line]
    assert len(folded) == len(datasets)
    assert sum(line.startswith("gds λ = ") for line in lines) >= len(datasets)
    assert next(line for line in lines if line.startswith("Hubness 0")).endswith("9 ± 0.1")
    subprocess.run(["pdftoppm", "-r", "20", "-gray", "-singlefile", pdf, tmp_path / "sheet"], check=True)
    assert (tmp_path / "sheet.pgm").read_bytes()[-1] == 255
