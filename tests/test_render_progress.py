"""What is seen while a run measures: how far it is, how long it takes, and no more than fits."""

import io
import pty
import re
from contextlib import suppress
from typing import Any

import pytest
from hostile import PAYLOADS
from markupsafe import escape

from hxbench.plan.outline import Look, Outline
from hxbench.render import notebook_view, progress
from hxbench.render.notebook_view import Sample, live
from hxbench.render.progress import TextView
from hxbench.render.progress_text import left_s, line, place, share_done, shortened

LOOK = Look(3, 300, 60.0)


def planned(**changed: Any) -> Outline:
    """By time: three trials of 20 s."""
    given = {"measured": 300, "at_most": True, "warmup": 30, "trials": 3, "output_tokens": 900}
    return Outline(**given | {"seconds": 60.0, "output_cost": None, "looks": ()} | changed)


def state(**changed: Any) -> dict[str, Any]:
    return {
        "event": "progress", "trial": 2, "phase": "measure", "elapsed_s": 5.0, "measured": 10,
        "ok": 1234, "failed": 0, "tokens": 4936, "in_flight": 4, "requests_per_s": 2.0, "tokens_per_s": 8.0,
        "ttft_p50_s": 0.02, "ttft_p95_s": 0.05, "ttft_recent_s": 0.03, "last_error": None, **changed,
    }  # fmt: skip


BY_NUMBER = planned(measured=90, seconds=None)


@pytest.mark.parametrize(
    ("expected", "changed", "plan"),
    [
        (35.0, {}, planned()),
        (20.0, {"elapsed_s": 25.0}, planned()),  # one drains: its part of the plan is over
        (0.0, {"trial": 3, "elapsed_s": 25.0}, planned()),
        (60.0, {"trial": None, "elapsed_s": 0.0}, planned()),
        (10.0 + 15.0, {}, BY_NUMBER),  # 20 missing at 2 a second; then one more such trial
        (0.0, {"trial": 3, "measured": 30}, BY_NUMBER),
        (0.0, {"trial": 3, "measured": 31}, BY_NUMBER),
        (None, {"measured": 0}, BY_NUMBER),
        (None, {"requests_per_s": None}, BY_NUMBER),
        (None, {"requests_per_s": 0.0}, BY_NUMBER),
    ],
)
def test_the_time_left_is_that_of_the_plan_or_of_the_requests_to_come(
    expected: float | None, changed: dict[str, Any], plan: Outline
) -> None:
    assert expected == left_s(state(**changed), plan)


@pytest.mark.parametrize(
    ("expected", "changed", "plan"),
    [
        ((1 + 5 / 20) / 3, {}, planned()),
        ((1 + 10 / 30) / 3, {}, BY_NUMBER),
        (1.0, {"trial": 3, "elapsed_s": 25.0}, planned()),
        (0.0, {"trial": None, "elapsed_s": 0.0}, planned()),
    ],
)
def test_the_share_done_counts_the_trials_before(
    expected: float, changed: dict[str, Any], plan: Outline
) -> None:
    assert pytest.approx(expected) == share_done(state(**changed), plan)


@pytest.mark.parametrize(
    ("expected", "changed", "plan"),
    [
        ("trial 2 of 3, measuring, 35 s left", {}, planned()),
        ("measuring calm, 15 s left", {"trial": 1, "phase": "measure calm"}, planned(trials=1, seconds=20.0)),
        ("trial 2 of 3, warm-up, 35 s left", {"phase": "warmup"}, planned()),
        ("trial 3 of 3, draining", {"trial": 3, "phase": "drain", "elapsed_s": 21.0}, planned()),
        ("trial 2 of 3, measuring", {"measured": 0}, BY_NUMBER),
        ("starting, 60 s left", {"trial": None, "phase": None, "elapsed_s": 0.0}, planned()),
        ("trial 2 of at most 3, measuring, at most 35 s left", {}, planned(looks=(LOOK, LOOK))),
        ("measuring", {}, None),
        ("load ended", {"event": "finished"}, planned()),
    ],
)
def test_the_place_in_the_plan_is_named(expected: str, changed: dict[str, Any], plan: Outline | None) -> None:
    assert expected == place(state(**changed), plan)


WHOLE = (
    "trial 2 of 3, measuring, 35 s left · 1 234 answered · 2 failed · last error: HTTP 500: no · "
    "ttft p50 20 ms, p95 50 ms · 8 tok/s · 2 req/s · 4 in flight"
)


def test_the_line_says_what_matters_most_first() -> None:
    assert WHOLE == line(state(failed=2, last_error="HTTP 500: no"), planned())


def test_before_the_first_answer_nothing_is_made_up() -> None:
    nothing = dict.fromkeys(("requests_per_s", "tokens_per_s", "ttft_p50_s", "ttft_p95_s"))
    assert "measuring · 0 answered · 0 failed · 4 in flight" == line(state(ok=0, **nothing), None)


@pytest.mark.parametrize("width", [*range(200), 10_000])
def test_the_line_fits_its_width_and_breaks_off_between_its_parts(width: int) -> None:
    text = line(state(failed=2, last_error="HTTP 500: no"), planned(), width)
    assert len(text) <= width
    assert width < 34 or set(text.split(" · ")) <= set(WHOLE.split(" · "))
    assert width < len(WHOLE) or text == WHOLE


def test_an_error_is_cut_and_steers_no_terminal() -> None:
    text = line(state(last_error="\x1b[2J\x07" + 80 * "x"), None)
    assert f"last error: �[2J�{54 * 'x'}… · " in text


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time by the view's clock, in a list of one."""
    now = [1000.0]
    for module in (progress, notebook_view):
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_there_is_a_line_every_ten_seconds_and_the_last_one(clock: list[float]) -> None:
    stream = io.StringIO()
    view = TextView(stream)
    view.begin(planned())
    for second in range(25):
        clock[0] = 1000.0 + second
        view.update(state(ok=second))
    view.close()
    view.close()
    first, *shown = stream.getvalue().splitlines()
    assert "planned at most 300 requests in 3 trials, up to 30 more to warm up; at most 900 " in first
    assert ["0", "10", "20", "24"] == [re.findall(r"(\d+) answered", text)[0] for text in shown]
    assert "\x1b" not in stream.getvalue()


def everything_from(terminal: int) -> bytes:
    """Returns what was written to a terminal whose other side is closed: one read may give a part of it."""
    found = b""
    with suppress(OSError), open(terminal, "rb", buffering=0) as stream:  # Linux ends with EIO
        while piece := stream.read(10_000):
            found += piece
    return found


def test_on_a_terminal_one_line_is_rewritten_and_stays_within_its_width() -> None:
    ours, theirs = pty.openpty()
    with open(theirs, "w") as stream:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        view = TextView(stream)
        view.begin(planned())
        for count in (7, 8):
            view.update(state(ok=count))
        view.close()
        view.say("done")
    shown = everything_from(ours).decode()
    _, *lines = shown.replace("\r\n", "\n").split("\n")
    first, second = (text for text in lines[0].split("\r\x1b[K") if text)
    assert "trial 2 of 3, measuring, 35 s left · 7 answered · 0 failed" == first
    assert second == first.replace("7", "8")
    assert len(second) < 60
    assert ["done", ""] == lines[1:]


def samples(count: int) -> list[Sample]:
    return [Sample(float(n), n >= 2, 8.0 + n, 4, None if n < 3 else 0.02) for n in range(count)]


def test_the_live_chart_draws_each_line_and_says_it_in_words() -> None:
    html = live(state(failed=1, last_error="HTTP 500: no"), planned(), samples(5))
    assert 3 == html.count("<svg ") == html.count("<polyline ") == html.count('role="img"')
    assert 'aria-label="Output tokens: now 12 tok/s, at most 12 tok/s, over 4 s"' in html
    assert 'aria-label="Time to first token, median: now 20 ms, at most 20 ms, over 4 s"' in html
    assert '<rect x="0.0" y="0" width="120.0" ' in html  # the two seconds of warm-up out of four
    assert "Grey: not measured" in html
    assert "Grey" not in live(state(), planned(), samples(5)[2:])
    assert '<progress max="1" value="0.417" aria-label="trial 2 of 3, measuring, 35 s left">' in html
    assert 1 == html.count("last error: HTTP 500: no")


def test_a_chart_without_a_value_is_drawn_empty() -> None:
    html = live(state(), None, samples(1))
    assert 'aria-label="Time to first token, median: now –, at most –, over 0 s"' in html
    assert '<progress max="1" aria-label="measuring">' in html


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_a_server_says_is_shown_as_text(payload: str) -> None:
    html = live(state(last_error=payload), planned(), samples(3))
    without = live(state(last_error="x"), planned(), samples(3))
    assert str(escape(shortened(payload))) in html.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    assert without.count("<") == html.count("<")


class Shown:
    """Stands where the notebook does: what one output was given, one after the other."""

    def __init__(self) -> None:
        self.bundles: list[dict[str, str]] = []

    def display(self, bundle: dict[str, str], raw: bool) -> None:
        assert raw
        self.bundles.append(bundle)

    update = display


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    shown = Shown()
    monkeypatch.setattr(notebook_view, "DisplayHandle", lambda: shown)
    return shown


def test_in_a_notebook_one_output_is_replaced_once_a_second(shown: Shown, clock: list[float]) -> None:
    view = notebook_view.NotebookView()
    view.say("profile <small>")
    view.begin(planned())
    before = len(shown.bundles)
    for step in range(50):
        clock[0] = 1000.0 + step / 5
        view.update(state())
    assert 10 == len(shown.bundles) - before
    assert "profile &lt;small&gt;<br>planned at most" in shown.bundles[-1]["text/html"]
    assert "<polyline" in shown.bundles[-1]["text/html"]


def test_in_the_end_the_chart_is_gone_and_the_last_count_stays(shown: Shown, clock: list[float]) -> None:
    view = notebook_view.NotebookView()
    view.begin(planned())
    view.update(state())
    view.update(state(event="finished", ok=1300))
    view.close()
    last = shown.bundles[-1]
    assert "load ended · 1 300 answered · 0 failed · " in last["text/html"]
    assert last["text/plain"].splitlines()[-1].startswith("load ended · 1 300 answered")
    assert "<svg" not in last["text/html"]
    assert len(last["text/html"]) < 500


@pytest.mark.parametrize("seconds", [119, 500, 4_000])
def test_however_long_a_run_takes_its_chart_stays_small(
    shown: Shown, clock: list[float], seconds: int
) -> None:
    view = notebook_view.NotebookView()
    for second in range(seconds + 1):
        clock[0] = 1000.0 + second
        view.update(state(elapsed_s=float(second)))
        del shown.bundles[:-1]
    html = shown.bundles[-1]["text/html"]
    points = re.findall(r'points="([^"]*)"', html)[0].split()
    assert notebook_view.MOST / 2 <= len(points) <= notebook_view.MOST
    assert len(html) < 8000
