"""The pages in a real browser without a network: drawn, readable, and nothing in them runs or asks."""

import unicodedata
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import nbformat
import notebooks_by_hand as by_hand
import pytest
from browsing import DESK, SCREENS, Seen, opened
from certificates_by_hand import certificate
from hostile import PAYLOADS, poisoned
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from records_by_hand import calibration, facts, records
from test_judge_watched import watched

from hxbench.render.certificate_page import page as certificate_page
from hxbench.render.completeness import RESULT_MIME
from hxbench.render.exporter import page as notebook_page
from hxbench.render.frames import Frames
from hxbench.render.plot_data import PLOTLY_MIME
from hxbench.render.run_view import Figures, Result, card_html
from hxbench.render.tables import difference_table, ledger_table, translation_table, verdict_table

FIGURES = [name for name, each in vars(Figures).items() if callable(each) and not name.startswith("_")]
KINDS = ("certificate", "notebook")


@pytest.fixture(scope="module")
def kept(browser: Any, validation: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """One page of each kind, opened once: who uses it looks at it and changes nothing but the screen."""
    judged = certificate(calibration=calibration())
    made = {
        "certificate": certificate_page(judged, facts("smollm2-135m"), [("validation", "validation.html")]),
        "notebook": validation,
    }
    folder = tmp_path_factory.mktemp("pages")
    for kind, html in made.items():
        (folder / f"{kind}.html").write_text(html, "utf-8")
    return {kind: opened(browser, folder / f"{kind}.html") for kind in made}


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens a page, given as text, as a visitor of its own."""
    contexts = []

    def visited(html: str, **more: Any) -> Seen:
        path = tmp_path / "page.html"
        path.write_text(html, "utf-8")
        seen = opened(browser, path, **more)
        contexts.append(seen.page.context)
        assert [path.as_uri()] == seen.requests
        return seen

    yield visited
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def validation() -> str:
    """The page of a validation notebook of 300 requests."""
    return notebook_page(executed(300))


def executed(count: int, tokens: int = 32) -> Any:
    """Returns a notebook as it is after a run of `count` requests, with every figure and table."""
    profile = {"objectives": {"ttft": {"p95": "500 ms"}}, "limits.tokens": 10_000_000}
    run = records(requests=count, tokens=tokens, failed=(7,), profile=profile)
    judged, figures = certificate(), Figures(run)
    shown = [{"text/html": card_html(judged), "text/plain": "card"}]
    shown += [{"text/html": table(judged)._repr_html_()} for table in (verdict_table, ledger_table)]
    others = {"prometheus": Figures(watched())}  # the run of many requests has none
    shown += [getattr(others.get(name, figures), name)()._repr_mimebundle_() for name in FIGURES]
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


def on_every_screen(test: Any) -> Any:
    """Runs a test for each kind of page on each screen."""
    for name, values in (("screen", tuple(SCREENS)), ("kind", KINDS)):
        test = pytest.mark.parametrize(name, values)(test)
    return test


@pytest.mark.parametrize("screen", SCREENS)
def test_every_figure_is_drawn(kept: dict[str, Seen], screen: str) -> None:
    seen = kept["notebook"].on(screen)
    assert len(FIGURES) == seen.value("document.querySelectorAll('.plot.js-plotly-plot').length")
    drawn = "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('.trace, .bars').length > 0)"
    assert [True] * len(FIGURES) == seen.value(drawn)


@on_every_screen
def test_no_page_scrolls_sideways(kept: dict[str, Seen], kind: str, screen: str) -> None:
    assert kept[kind].on(screen).value("document.documentElement.scrollWidth <= innerWidth")


@on_every_screen
def test_how_it_ended_stands_on_the_first_screen(kept: dict[str, Seen], kind: str, screen: str) -> None:
    seen = kept[kind].on(screen)
    assert "FAILED" == seen.page.inner_text(".status .word")
    assert seen.value(
        "scrollY === 0 && document.querySelector('.status').getBoundingClientRect().bottom < 300"
    )


@on_every_screen
def test_axe_finds_nothing_that_keeps_anyone_from_reading(
    kept: dict[str, Seen], kind: str, screen: str
) -> None:
    seen = kept[kind].on(screen)
    seen.value(FOLDS % "true")
    assert [] == seen.violations()
    seen.value(FOLDS % "false")


# The data of one figure stands for that of all: axe looks at each of their thousand cells.
FOLDS = """
document.querySelectorAll('details:not(.data), figure:first-of-type .data')
  .forEach((fold) => { fold.open = %s; })
"""


@on_every_screen
def test_a_picture_of_each_page_is_kept_to_be_looked_at(
    kept: dict[str, Seen], kind: str, screen: str
) -> None:
    ending, begins = ("pdf", b"%PDF") if screen == "paper" else ("png", b"\x89PNG")
    assert kept[kind].on(screen).picture(f"{kind}-{screen}.{ending}").startswith(begins)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_that_was_seen_on_every_screen_asked_for_nothing_and_complained_of_nothing(
    kept: dict[str, Seen], kind: str
) -> None:
    for screen in SCREENS:
        kept[kind].on(screen)
    assert [kept[kind].page.url] == kept[kind].requests
    assert [] == kept[kind].complaints


def test_a_reviewer_sees_the_numbers_the_doubts_and_the_instrument_without_scrolling(
    kept: dict[str, Seen],
) -> None:
    seen = kept["certificate"].on("light")
    ends = "[...document.querySelectorAll('.first')].map((part) => part.getBoundingClientRect().bottom)"
    assert 2 == len(seen.value(ends))
    assert [True, True] == [end <= DESK[1] for end in seen.value(ends)]


def test_the_figures_follow_the_colours_of_the_page(kept: dict[str, Seen]) -> None:
    seen = kept["notebook"].on("light")
    ink = "getComputedStyle(document.querySelector('.plot text')).fill"
    light = seen.value(ink)
    assert seen.on("dark").becomes(f"{ink} !== '{light}'")


def test_on_paper_figures_fit_and_are_dark_on_light(kept: dict[str, Seen]) -> None:
    seen = kept["notebook"].on("dark").on("paper")
    assert "rgb(0, 0, 0)" == seen.value("getComputedStyle(document.querySelector('.plot text')).fill")
    assert {680} == set(
        seen.value("[...document.querySelectorAll('.main-svg')].map(s => s.width.baseVal.value)")
    )
    assert "rgb(255, 255, 255)" == seen.value("getComputedStyle(document.body).backgroundColor")


def test_without_scripts_the_verdict_the_tables_and_the_data_of_the_figures_can_be_read(
    visit: Any, validation: str
) -> None:
    seen = visit(validation, java_script_enabled=False)
    text = seen.page.inner_text("body")
    assert "FAILED" in text
    assert "Time to first token, p95" in text
    assert len(FIGURES) == text.count("This figure needs scripts to be drawn; its data stands below.")
    assert "Requests slower" in seen.page.inner_text("figure >> nth=0")
    assert seen.value("document.documentElement.scrollWidth <= innerWidth")


def test_with_scripts_the_drawing_stands_for_the_table_until_it_is_asked_for(kept: dict[str, Seen]) -> None:
    seen = kept["notebook"].on("light")
    assert "Requests slower (" not in seen.page.inner_text("figure >> nth=0")
    seen.page.click("figure summary >> nth=0")
    assert "Requests slower (" in seen.page.inner_text("figure >> nth=0")
    seen.page.click("figure summary >> nth=0")


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
        outputs += [by_hand.shown({kind: payload}) for kind in KINDS_OF_OUTPUT]
        outputs += [new_output("stream", name=name, text=payload) for name in ("stdout", "stderr")]
        outputs += [new_output("error", ename="Error", evalue=payload, traceback=[payload])]
    result = poisoned({**by_hand.RESULT, "model": "", "profile": "", "created": ""}, cycle(PAYLOADS))
    seen = visit(notebook_page(by_hand.after_run(*outputs, prose="\n\n".join(PAYLOADS), result=result)))
    nothing_happened(seen)
    assert seen.value("document.scripts.length === 0")
    shown = seen.value("[...document.querySelectorAll('.error > pre')].map((e) => e.textContent)")
    for payload, text in zip(PAYLOADS, shown, strict=True):
        assert "\x1b" in payload or "\r" in payload or seen_of(f"Error: {payload}") == seen_of(text)


KINDS_OF_OUTPUT = (
    "text/html", "text/markdown", "text/plain", "text/latex", "image/svg+xml", "image/png",
    "application/javascript", "application/vnd.jupyter.widget-view+json",
)  # fmt: skip


def nothing_happened(seen: Seen) -> None:
    """Holds a page to it that it ran nothing, went nowhere, and is still the page it was, also when used."""
    for target in seen.page.query_selector_all("main a, main p, main summary")[:40]:
        target.dispatch_event("mouseover")
    assert [] == seen.complaints
    assert [seen.page.url] == seen.requests
    assert seen.value("window.owned === undefined && document.querySelectorAll('h1').length === 1")
    assert [] == seen.value(HANDLERS)
    assert seen.on("phone").value("document.documentElement.scrollWidth <= innerWidth")


# what could run or load something, or take the place of something of the page; plotly's own parts apart
HANDLERS = r"""
[...document.querySelectorAll('header *, main *')].filter((element) => !element.closest('.plot'))
  .flatMap((element) => [...element.attributes].filter(({ name, value }) =>
    /^(on.*|srcdoc|action|formaction|style|xlink:href|name)$/.test(name)
    || /^(src|href)$/.test(name) && !/^(#|data:image.png|https?:|mailto:|[\w./-]+$)/.test(value)))
  .map(({ name, value }) => name + '=' + value)
"""


def seen_of(text: str) -> str:
    """Returns the characters of a text that a reader sees."""
    return "".join(
        letter for letter in text if unicodedata.category(letter) not in UNSEEN and letter != "\ufffd"
    )


UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")


def test_hostile_text_in_a_figure_is_drawn_as_text_and_does_nothing(visit: Any) -> None:
    names = [
        {"x": [1, 2], "y": [n, n], "name": payload, "text": payload, "hovertemplate": payload}
        for n, payload in enumerate(PAYLOADS)
    ]
    bars = {"type": "bar", "x": list(PAYLOADS), "y": [1] * len(PAYLOADS), "name": PAYLOADS[0]}
    title = {"text": PAYLOADS[0], "subtitle": {"text": PAYLOADS[3]}}
    layout = {
        "title": title,
        "xaxis": {"title": {"text": PAYLOADS[1]}, "ticksuffix": PAYLOADS[5]},
        "yaxis": {"title": {"text": PAYLOADS[10]}, "ticktext": list(PAYLOADS), "tickvals": list(range(99))},
        "annotations": [{"x": 1, "y": 1, "text": p, "hovertext": p} for p in PAYLOADS],
    }
    figures = [by_hand.shown({PLOTLY_MIME: {"data": d, "layout": layout}}) for d in (names, [bars])]
    seen = visit(notebook_page(by_hand.after_run(*figures)))
    nothing_happened(seen)
    assert [] == seen.value(
        "[...document.querySelectorAll('.plot a')].map((a) => a.href.baseVal).filter(Boolean)"
    )
    assert not seen.value("document.querySelector('.plot foreignObject, .plot image, .plot script')")


def test_hostile_text_in_every_field_of_a_certificate_is_shown_and_does_nothing(visit: Any) -> None:
    payloads = cycle(PAYLOADS)
    hostile, known = (
        poisoned(document, payloads, spared={"comparator", "unit", "direction", "state"})
        for document in (certificate(calibration=calibration()), facts("smollm2-135m"))
    )
    hostile["notes"] += PAYLOADS
    hostile["declarations"] = {p: {"declared": p, "seen": None} for p in PAYLOADS}
    hostile["measurement"] |= dict.fromkeys(PAYLOADS, PAYLOADS[0])
    seen = visit(certificate_page(hostile, known | dict.fromkeys(PAYLOADS, 1), [(PAYLOADS[1], "x.html")]))
    nothing_happened(seen)
    assert seen.value("document.scripts.length === 0")
    text = seen_of(seen.page.inner_text("body"))
    assert [] == [payload for payload in PAYLOADS if seen_of(payload) not in text]


def test_a_run_of_two_million_tokens_stays_small_and_scrolls_without_being_laid_out_again(
    visit: Any, kept: dict[str, Seen]
) -> None:
    notebook = executed(10_000, tokens=200)
    html = notebook_page(notebook)
    assert len(nbformat.writes(notebook).encode()) < 300_000
    assert len(html.encode()) < 1_000_000
    assert RESULT_MIME in notebook.cells[-1].outputs[0].data
    seen = visit(html)
    assert [] == seen.complaints
    for amount in (NODES, STROKES):  # to be painted; of 300 requests, a thirty-third
        assert seen.value(amount) < 3 * kept["notebook"].on("light").value(amount)
    before = laid_out(seen)
    for _ in range(20):
        seen.page.mouse.wheel(0, 600)
    assert seen.becomes(
        "scrollY + innerHeight > document.documentElement.scrollHeight - 10 || scrollY > 9000"
    )
    assert before == laid_out(seen)


NODES = "document.querySelectorAll('*').length"
STROKES = "[...document.querySelectorAll('path[d]')].map((p) => p.getAttribute('d')).join('').length"


def laid_out(seen: Seen) -> int:
    """Returns how often the browser has worked out where everything stands."""
    session = seen.page.context.new_cdp_session(seen.page)
    session.send("Performance.enable")
    return {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}[
        "LayoutCount"
    ]
