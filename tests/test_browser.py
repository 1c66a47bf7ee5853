"""The pages in a real browser without a network: drawn, readable, and nothing in them runs or asks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import notebooks_by_hand as by_hand
import pytest
from certificates_by_hand import catalogue, certificate, verdict
from hostile import PAYLOADS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from records_by_hand import facts, records

from hxbench.render.certificate_page import page as certificate_page
from hxbench.render.completeness import RESULT_MIME
from hxbench.render.exporter import page as notebook_page
from hxbench.render.frames import Frames
from hxbench.render.plot_data import PLOTLY_MIME
from hxbench.render.run_view import Figures, Result, card_html
from hxbench.render.tables import difference_table, ledger_table, translation_table, verdict_table

# From recipes that were tried: no sandbox as root, no GPU, and no name resolves.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
FIGURES = ("ttft", "itl", "e2e", "throughput", "resources", "waterfall", "slowest")
SCREENS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1200, "height": 900}},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Seen:
    """A page as one visitor saw it."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def value(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens a page, given as text, as a visitor with the network off."""
    contexts = []

    def opened(html: str, **screen: Any) -> Seen:
        path = tmp_path / "page.html"
        path.write_text(html, "utf-8")
        context = browser.new_context(**(SCREENS["light"] | screen), offline=False)
        contexts.append(context)
        seen = Seen(context.new_page())
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("console", lambda message: seen.complaints.append(message.text))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.goto(path.as_uri())
        if 'id="plotly"' in html and screen.get("java_script_enabled", True):
            seen.page.wait_for_selector("html[data-figures]", timeout=30_000)
        assert [path.as_uri()] == seen.requests
        return seen

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def validation() -> str:
    """The page of a validation notebook of 300 requests."""
    return notebook_page(executed(300))


def executed(count: int) -> Any:
    """Returns a notebook as it is after a run of `count` requests, with every figure and table."""
    run = records(requests=count, failed=(7,), profile={"objectives": {"ttft": {"p95": "500 ms"}}})
    judged, figures = certificate(), Figures(run)
    shown = [{"text/html": card_html(judged), "text/plain": "card"}]
    shown += [{"text/html": table(judged)._repr_html_()} for table in (verdict_table, ledger_table)]
    shown += [getattr(figures, name)()._repr_mimebundle_() for name in FIGURES]
    translated = Frames(run).translated()
    shown += [
        {"text/html": table(translated)._repr_html_()} for table in (translation_table, difference_table)
    ]
    shown += [Result(judged)._repr_mimebundle_()]
    cells = [new_markdown_cell("# Latency and throughput of one model\n\nOne server.")]
    for number, data in enumerate(shown, start=1):
        cells += [new_markdown_cell(f"## Question {number}?\n\nHow to read it."), new_code_cell("run.x()")]
        cells[-1].execution_count = number
        cells[-1].outputs = [new_output("execute_result", data=data, execution_count=number)]
    return nbformat.from_dict(nbformat.v4.new_notebook(cells=cells))


@pytest.mark.parametrize("screen", SCREENS)
def test_every_figure_is_drawn_without_a_request_or_a_complaint(
    visit: Any, validation: str, screen: str
) -> None:
    seen = visit(validation, **SCREENS[screen])
    assert [] == seen.complaints
    assert len(FIGURES) == seen.value("document.querySelectorAll('.plot.js-plotly-plot').length")
    drawn = "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('.trace, .bars').length > 0)"
    assert [True] * len(FIGURES) == seen.value(drawn)


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("kind", ["notebook", "certificate"])
def test_no_page_scrolls_sideways(visit: Any, validation: str, screen: str, kind: str) -> None:
    html = validation if kind == "notebook" else certificate_page(certificate(), facts("smollm2-135m"))
    seen = visit(html, **SCREENS[screen])
    assert seen.value("document.documentElement.scrollWidth <= innerWidth")


def test_the_figures_follow_the_colours_of_the_page(visit: Any, validation: str) -> None:
    seen = visit(validation)
    ink = "getComputedStyle(document.querySelector('.plot text')).fill"
    light = seen.value(ink)
    seen.page.emulate_media(color_scheme="dark")
    for _ in range(100):  # the page's policy forbids the browser driver's own waiting: it needs eval
        if seen.value(ink) != light:
            break
        seen.page.wait_for_timeout(50)
    assert light != seen.value(ink)
    assert [] == seen.complaints


def test_on_paper_figures_fit_and_are_dark_on_light(visit: Any, validation: str) -> None:
    seen = visit(validation, color_scheme="dark")
    seen.value("dispatchEvent(new Event('beforeprint'))")  # it comes before the colours of the page change
    assert "rgb(0, 0, 0)" == seen.value("getComputedStyle(document.querySelector('.plot text')).fill")
    assert {680} == set(
        seen.value("[...document.querySelectorAll('.main-svg')].map(s => s.width.baseVal.value)")
    )
    seen.page.emulate_media(media="print", color_scheme="dark")
    assert "rgb(255, 255, 255)" == seen.value("getComputedStyle(document.body).backgroundColor")
    assert seen.page.pdf().startswith(b"%PDF")


def test_without_scripts_the_verdict_the_tables_and_the_data_of_the_figures_can_be_read(
    visit: Any, validation: str
) -> None:
    seen = visit(validation, java_script_enabled=False)
    text = seen.page.inner_text("body")
    assert "FAILED" in text
    assert "Time to first token, p95" in text
    assert len(FIGURES) == text.count("The figure is drawn by a script in this page; its data stands below.")
    seen.page.click("figure summary >> nth=0")
    assert "Requests slower" in seen.page.inner_text("figure >> nth=0")


def test_contrast_is_enough_for_text_in_light_and_dark(visit: Any, validation: str) -> None:
    for html in (validation, certificate_page(certificate(), facts("smollm2-135m"))):
        for scheme in ("light", "dark"):
            seen = visit(html, color_scheme=scheme)
            assert [] == [found for found in seen.value(CONTRAST) if found[1] < 4.5]


# The contrast (WCAG 2.1, 1.4.3) of each element with text of its own against the nearest painted background.
CONTRAST = """
(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((parts(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const own = (element) => [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  return [...document.querySelectorAll("body *:not(script):not(svg *)")].filter(own).map((element) => {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    return [element.outerHTML.slice(0, 80), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  });
})()
"""


def test_what_can_be_scrolled_or_opened_can_be_reached_by_keyboard(visit: Any, validation: str) -> None:
    seen = visit(validation)
    reachable = "[...document.querySelectorAll('.scroll, summary')].every((e) => e.tabIndex === 0)"
    assert seen.value(reachable)
    seen.page.keyboard.press("Tab")
    assert "Skip to the content" == seen.value("document.activeElement.textContent")
    assert "en" == seen.value("document.documentElement.lang")


def test_hostile_text_in_a_notebook_is_shown_and_does_nothing(visit: Any) -> None:
    outputs = []
    for payload in PAYLOADS:
        outputs += [by_hand.shown({"text/html": f"<table><tr><td>{payload}</td></tr></table>"})]
        outputs += [by_hand.shown({"text/markdown": payload}), by_hand.shown({"text/plain": payload})]
        outputs += [new_output("error", ename="Error", evalue=payload, traceback=[payload])]
    result = by_hand.RESULT | {"status_reason": PAYLOADS[0], "run": PAYLOADS[1]}
    seen = visit(notebook_page(by_hand.after_run(*outputs, prose="\n\n".join(PAYLOADS), result=result)))
    assert [] == seen.complaints
    assert seen.value("window.owned === undefined && document.scripts.length === 0")
    shown = seen.value("[...document.querySelectorAll('.error > pre')].map((e) => e.textContent)")
    for payload, text in zip(PAYLOADS, shown, strict=True):
        assert "\x1b" in payload or seen_of(f"Error: {payload}") == seen_of(text)


def seen_of(text: str) -> str:
    """Returns the characters of a text that a reader sees."""
    return re.sub(r"[\x00-\x20\x7f\u2028\u2029\u202a-\u202e\ufffd]", "", text)


def test_hostile_text_in_a_figure_is_drawn_as_text_and_does_nothing(visit: Any) -> None:
    names = [
        {"x": [1, 2], "y": [n, n], "name": payload, "text": payload} for n, payload in enumerate(PAYLOADS)
    ]
    layout = {"title": {"text": PAYLOADS[0]}, "annotations": [{"x": 1, "y": 1, "text": p} for p in PAYLOADS]}
    html = notebook_page(by_hand.after_run(by_hand.shown({PLOTLY_MIME: {"data": names, "layout": layout}})))
    seen = visit(html)
    assert [] == seen.complaints
    assert seen.value("window.owned === undefined")
    assert [] == seen.value(
        "[...document.querySelectorAll('.plot a')].map((a) => a.href.baseVal).filter(Boolean)"
    )


def test_hostile_text_in_a_certificate_is_shown_and_does_nothing(visit: Any) -> None:
    hostile = certificate(
        notes=list(PAYLOADS),
        verdicts=[verdict(p, p, reason=p, method=p, metric=None, records=[p]) for p in PAYLOADS],
        catalogue=[catalogue()[0] | {"id": p, "name": p, "reason": p, "evidence": [p]} for p in PAYLOADS],
        declarations={p: {"declared": p, "seen": None} for p in PAYLOADS},
    )
    seen = visit(certificate_page(hostile, dict.fromkeys(PAYLOADS, PAYLOADS[0]), [(PAYLOADS[1], "x.html")]))
    assert [] == seen.complaints
    assert seen.value("window.owned === undefined && document.scripts.length === 0")
    assert 2 * len(PAYLOADS) <= seen.page.inner_text("main").count("owned") + len(PAYLOADS)


def test_a_run_of_ten_thousand_requests_stays_small(visit: Any) -> None:
    notebook = executed(10_000)
    html = notebook_page(notebook)
    assert len(nbformat.writes(notebook).encode()) < 300_000
    assert len(html.encode()) < 1_000_000
    assert [] == visit(html).complaints
    assert RESULT_MIME in notebook.cells[-1].outputs[0].data
