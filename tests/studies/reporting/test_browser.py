"""The report as a browser lays it out."""

from __future__ import annotations

import html
import re
import struct
import subprocess

import pytest

from studies.reporting.report import render_report
from studies.reporting.sections import sections_of

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


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_figures_are_whole_and_the_page_never_scrolls_sideways(browse, found, page, width):
    scroll_width, client_width, figures, cut = measure(browse, page, width)
    assert scroll_width <= client_width
    assert figures == sum(len(section.figures) for section in sections_of(found))
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
def test_the_console_has_nothing_to_say_of_the_report(chromium, page, tmp_path, size):
    def console(text):
        file = tmp_path / "page.html"
        file.write_text(text)
        options = ["--enable-logging=stderr", f"--window-size={size}", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
        shown = subprocess.run([chromium, *FLAGS, *options, file.as_uri()], check=True, capture_output=True, text=True, timeout=120)
        return [line for line in shown.stderr.splitlines() if "CONSOLE" in line]

    assert console(page) == []
    assert console(page.replace("</main>", '<svg><path d="M NaN 0"/></svg></main>'))
