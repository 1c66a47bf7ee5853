"""A session in a real JupyterLab: the first notebook runs, figures are drawn, an interrupt loses nothing."""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import nbformat
import psutil
import pytest
from browsing import ARGUMENTS, Seen
from nbformat.v4 import new_code_cell

import hxbench as hx
from hxbench.render.plot_data import PLOTLY_MIME

LOOPBACK = [*ARGUMENTS[:-1], f"{ARGUMENTS[-1]}, EXCLUDE 127.0.0.1"]  # no other name resolves
WAIT_S = 180  # for anything: another's work on the machine may take most of it
# No questions about news, and every cell in the page, not only those in sight.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
INTERRUPTED = 'run = hx.run(load__users=2, load__warmup="0 s", load__measure="10 min")\nrun'
FOUND = 'hx.open("outputs/latest").frames.ttft()'


@dataclass
class Lab:
    url: str
    token: str
    folder: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, embedded: Any) -> Iterator[Lab]:
    """JupyterLab on a free port of loopback, with a configuration of its own in an empty folder.

    Without the model, which `embedded` looks for, there is nothing to run in it.
    """
    home = tmp_path_factory.mktemp("lab")
    folder = home / "work"
    folder.mkdir()
    for name, settings in SETTINGS.items():
        path = home / "config" / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    token = secrets.token_hex(16)
    own = {f"JUPYTER_{name.upper()}_DIR": str(home / name) for name in ("config", "data", "runtime")}
    environment = {**os.environ, **own, "IPYTHONDIR": str(home / "ipython"), "JUPYTER_TOKEN": token}
    flags = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", f"--ServerApp.root_dir={folder}"]
    with (home / "lab.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *flags], env=environment, stdout=log, stderr=log
        )
    try:
        yield Lab(await_server(home / "runtime", process, home / "lab.log"), token, folder)
    finally:
        end(process)


def await_server(runtime: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    """Returns the address of the server once it answers."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            try:
                url = str(json.loads(path.read_text())["url"])
                httpx.get(f"{url}api", timeout=5).raise_for_status()
            except (ValueError, httpx.HTTPError):  # half written, or not listening yet
                continue
            return url
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-4000:])


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program and all that it started."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=20)
    for each in alive:
        each.kill()
    process.wait()


@dataclass
class Session(Seen):
    """What was seen in the course of it, and what the measuring cell showed while it measured."""

    live: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def session(lab: Lab, chromium: str, repository: Path) -> Iterator[Session]:
    """The notebook to begin with, run to its end; then a measuring cell, interrupted, and one more."""
    from playwright.sync_api import sync_playwright

    notebook = short(nbformat.read(repository / "notebooks" / "explore.ipynb", as_version=4))
    nbformat.write(notebook, lab.folder / "explore.ipynb")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=LOOPBACK)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(WAIT_S * 1000)
        seen = Session(page)
        page.on("console", lambda message: seen.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: seen.complaints.append(f"error: {error}"))
        try:
            use(seen, f"{lab.url}lab/tree/explore.ipynb?token={lab.token}")
        except BaseException:
            seen.picture("jupyterlab-failed.png")
            raise
        yield seen
        browser.close()


def use(seen: Session, address: str) -> None:
    """Runs all cells, looks while the long one measures, interrupts it and saves the notebook."""
    page = seen.page
    page.goto(address)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.locator("#jp-main-statusbar", has_text="| Idle").wait_for()  # its kernel has started
    choose(page, "Run", "Run All Cells")
    measuring = page.locator(".jp-CodeCell", has_text="10 min")
    page.wait_for_function(ANSWERED)
    assert [] == page.locator(FAILED).all_inner_texts()
    seen.live = measuring.evaluate(LIVE)
    measuring.scroll_into_view_if_needed()
    seen.picture("jupyterlab-measuring.png")
    choose(page, "Kernel", "Interrupt Kernel")
    page.wait_for_function(IDLE)
    choose(page, "File", "Save Notebook")
    page.wait_for_function("!document.querySelector('.jp-mod-dirty')")
    seen.picture("jupyterlab-interrupted.png")
    page.locator(".jp-CodeCell .hx-card").first.scroll_into_view_if_needed()
    seen.picture("jupyterlab-card.png")


FAILED = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"
# The measuring cell has answers to count, or a cell before it failed.
ANSWERED = f"""() => document.querySelector("{FAILED}") ||
  [...document.querySelectorAll('.jp-CodeCell')].some((cell) =>
    cell.textContent.includes('10 min') && /[1-9]\\d* answered · /.test(cell.textContent))"""
LIVE = """(cell) => ({
  outputs: cell.querySelectorAll('.jp-OutputArea-child').length,
  charts: cell.querySelectorAll('.hx-live svg').length,
  text: cell.querySelector('.hx-live').innerText,
})"""
IDLE = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].every(
  (e) => /\\[\\d+\\]:/.test(e.textContent))"""


def choose(page: Any, menu: str, item: str) -> None:
    page.locator(".lm-MenuBar-item", has_text=re.compile(f"^{menu}$")).click()
    page.locator(".lm-Menu-item", has_text=re.compile(f"^{item}")).first.click()


def short(notebook: Any) -> Any:
    """Returns a notebook with a short load, a cell to interrupt, and one that opens what is left."""
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    for name, value in (("measure", '"4 s"'), ("output_tokens", "4")):
        cell.source, count = re.subn(rf"^{name} = [^#]*", f"{name} = {value}  ", cell.source, flags=re.M)
        assert 1 == count
    notebook.cells += [new_code_cell(INTERRUPTED), new_code_cell(FOUND)]
    return notebook


@pytest.fixture(scope="module")
def saved(session: Session, lab: Lab) -> Any:
    """The notebook as JupyterLab saved it."""
    return nbformat.read(lab.folder / "explore.ipynb", as_version=4)


def outputs(saved: Any, source: str) -> list[Any]:
    return next(cell.outputs for cell in saved.cells if cell.source.rstrip().endswith(source))


def test_every_cell_ran_without_an_error(saved: Any) -> None:
    code = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert [*range(1, len(code) + 1)] == [cell.execution_count for cell in code]
    assert [] == [out for cell in code for out in cell.outputs if out.output_type in ("error", "stream")]


def test_every_figure_is_drawn(session: Session, saved: Any) -> None:
    shown = [
        out for cell in saved.cells for out in cell.get("outputs", []) if PLOTLY_MIME in out.get("data", {})
    ]
    assert len(shown) >= 3
    plots = session.page.locator(".js-plotly-plot").filter(has=session.page.locator(".trace, .bars"))
    assert len(shown) == plots.count()


def test_the_card_shows_the_verdict(session: Session) -> None:
    card = session.page.locator(".hx-card").first.inner_text()
    assert "Time to first token, p50" in card


def test_while_it_measures_one_output_shows_how_it_goes(session: Session) -> None:
    assert (1, 3) == (session.live["outputs"], session.live["charts"])
    assert re.search(r"^measuring, \d+ (s|min) left$", session.live["text"], re.M)
    assert re.search(r"[1-9]\d* answered · 0 failed · ttft p50 ", session.live["text"])


def test_an_interrupt_ends_in_one_line_that_says_where_the_data_is(lab: Lab, saved: Any) -> None:
    progress, card = outputs(saved, INTERRUPTED)
    last = progress.data["text/html"].split("<br>")[-2]
    folder = re.fullmatch(r"stopped: what was measured is kept: hx\.open\(&#x27;(.+)&#x27;\)", last)
    assert folder, last
    assert "stopped by signal 2" in card.data["text/plain"]
    assert (lab.folder / "outputs" / "latest").resolve() == Path(folder[1])
    run = hx.open(folder[1])
    assert "interrupted" == run.records.ending["state"]
    assert "ok" in set(run.requests["outcome"])


def test_the_next_cell_finds_the_data(saved: Any) -> None:
    (frame,) = outputs(saved, FOUND)
    assert "ttft_s" in frame.data["text/plain"]


def test_the_saved_notebook_is_small_and_holds_no_live_chart(saved: Any) -> None:
    every = [out.data for cell in saved.cells for out in cell.get("outputs", [])]
    assert [] == [data for data in every if "hx-live" in data.get("text/html", "")]
    ours = [
        {kind: data[kind] for kind in data if kind != "image/png"} for data in every
    ]  # JupyterLab's copies
    assert len(json.dumps(ours)) < 60_000


def test_the_browser_has_nothing_to_complain_of(session: Session) -> None:
    assert [] == [text for text in session.complaints if text.startswith("error")]
