"""index.html: all runs of a folder by model and profile; whatever else lies there is named, and no more."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import SCREENS, Seen, opened
from hostile import PAYLOADS
from outputs_by_hand import check, judged, recorded, ttft
from runs_by_hand import good, store

from hxbench import workbench
from hxbench.errors import DirectoryError
from hxbench.records.run_directory import SWEEP_NOTE
from hxbench.render import index_page
from hxbench.render.past_runs import Number, find
from hxbench.render.trend import HEIGHT, WIDTH, trend


def whys(outputs: Path) -> dict[str, str]:
    return {each.path.name: each.why for each in find(outputs) if each.judged is None}


def texts(html: str, tag: str) -> list[str]:
    """The text of each element of a kind, without the markup in it."""
    found = re.findall(rf"<{tag}[ >].*?</{tag}>", html.partition("<body>")[2], re.DOTALL)
    return [" ".join(re.sub("<[^>]+>", "", each).split()) for each in found]


def test_runs_stand_by_model_and_profile_the_newest_first(tmp_path: Path) -> None:
    judged(tmp_path, "c", "2026-01-03T00:00:00+00:00", model="phi", profile="phi")
    judged(tmp_path, "a", "2026-01-01T00:00:00+00:00", status="FAILED")
    judged(tmp_path, "b", "2026-01-02T00:00:00Z", facts={"earlier_runs": 1})
    html = index_page.page(find(tmp_path))
    assert ["The newest of each model and profile", "phi", "smollm2-135m"] == texts(html, "h2")
    rows = [row for row in texts(html, "tr") if "aaaaaaaaaaaa" in row]
    what = "1 7 passed, 1 failed, 1 inconclusive, 1 skipped"
    assert [
        f"✓ CERTIFIED 2026-01-03 00:00:00 UTC c {what} 1 aaaaaaaaaaaa",
        f"✓ CERTIFIED 2026-01-02 00:00:00 UTC b {what} 2 aaaaaaaaaaaa",
        f"✕ FAILED 2026-01-01 00:00:00 UTC a {what} 1 aaaaaaaaaaaa",
    ] == rows
    assert html == index_page.page(find(tmp_path))


def test_a_number_stands_with_its_interval_its_limit_and_its_course(tmp_path: Path) -> None:
    for day, estimate in enumerate((0.1, 0.3, 0.2), start=1):
        judged(tmp_path, f"r{day}", f"2026-01-0{day}T00:00:00Z", verdicts=[ttft(estimate)])
    html = index_page.page(find(tmp_path))
    (item,) = [item for item in texts(html, "li") if "Time to first token" in item]
    assert "✓ PASS 200 ms (190 to 210 ms) limit ≤ 500 ms" in item.replace("\u00a0", " ")
    assert 'aria-label="Time to first token, p95 over 3 runs: 100 ms to 300 ms"' in html


def test_a_check_has_a_history_of_its_own_with_its_page(tmp_path: Path) -> None:
    judged(tmp_path, "run", "2026-01-01T00:00:00Z")
    check(tmp_path, "check", "2026-01-02T00:00:00Z")
    html = index_page.page(find(tmp_path))
    assert ["smollm2-135m", "smollm2-135m"] == texts(html, "h2")[1:]
    assert "Profile smollm2-135m, memory check" in html
    assert 'href="./check/memory.html"' in html
    assert "✓ PASS" in html.replace("</span>", "").replace('<span aria-hidden="true">', "")


def test_older_runs_stand_behind_a_fold(tmp_path: Path) -> None:
    for day in range(10, 22):
        judged(tmp_path, f"r{day}", f"2026-01-{day}T00:00:00Z")
    html = index_page.page(find(tmp_path))
    assert ["2 older"] == texts(html, "summary")
    older = html.partition("<details>")[2]
    assert "r11" in older
    assert "r12" not in older


def test_a_link_is_relative_and_leads_to_the_page_whatever_the_name(tmp_path: Path) -> None:
    judged(tmp_path, "a run #1?", "2026-01-01T00:00:00Z")
    judged(tmp_path, "javascript:alert(1)", "2026-01-02T00:00:00Z")
    judged(tmp_path, "no page", "2026-01-03T00:00:00Z").joinpath("certificate.html").unlink()
    links = re.findall(r'href="([^#"][^"]*)"', index_page.page(find(tmp_path)))
    assert [
        "./javascript%3Aalert%281%29/certificate.html",
        "./a%20run%20%231%3F/certificate.html",
    ] == links


def test_what_has_no_certificate_is_named_for_what_it_is(tmp_path: Path) -> None:
    recorded(tmp_path, "unjudged")
    recorded(tmp_path, "unfinished", ended=False)
    (tmp_path / "pictures" / "records").mkdir(parents=True)
    (tmp_path / "elsewhere").symlink_to(tmp_path / "unjudged")
    (tmp_path / "latest").symlink_to("unjudged")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "log.txt").touch()
    hint = "`hxbench render` on it writes its certificate"
    assert {
        "unjudged": f"not judged yet: {hint}",
        "unfinished": f"being recorded, or killed: {hint}",
        "pictures": "holds no run",
        "elsewhere": "a link, which is not followed",
    } == whys(tmp_path)


def test_a_sweep_is_named_and_its_page_is_linked(tmp_path: Path) -> None:
    (tmp_path / "a sweep").mkdir()
    (tmp_path / "a sweep" / SWEEP_NOTE).write_text("{}")
    (tmp_path / "a sweep" / "benchmark.html").touch()
    recorded(tmp_path / "b sweep", "users-1")
    (tmp_path / "b sweep" / SWEEP_NOTE).write_text("{}")
    assert {
        "a sweep": "a sweep without a run",
        "b sweep": "a sweep, being recorded, or killed: `hxbench render` on it writes its result",
    } == whys(tmp_path)
    assert 'href="./a%20sweep/benchmark.html">a sweep</a>: a sweep' in index_page.page(find(tmp_path))


def edited(**values: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


NOT_OURS = "unreadable: certificate.json: is not as hxbench writes it"
DAMAGED = {
    "cut short": (lambda path: path.write_text("{"), "unreadable: certificate.json: not readable: Expecting"),
    "no object": (lambda path: path.write_text("[]"), NOT_OURS),
    "nothing in it": (lambda path: path.write_text("{}"), NOT_OURS),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe"), "unreadable: certificate.json: not readable"),
    "not a number": (lambda path: path.write_text('{"score": NaN}'), "it holds NaN"),
    "nested too deep": (lambda path: path.write_text("[" * 10**5), "unreadable: certificate.json: not"),
    "verdicts that are none": (edited(verdicts=[None]), NOT_OURS),
    "a number that is a text": (edited(verdicts=[ttft(0.1, unit="s") | {"estimate": "0.1"}]), NOT_OURS),
    "a number that is true": (edited(verdicts=[ttft(0.1) | {"estimate": True}]), NOT_OURS),
    "a number beyond all": (edited(verdicts=[ttft(0.1) | {"estimate": 10**400}]), NOT_OURS),
    "an interval of three": (edited(verdicts=[ttft(0.1, interval=[1, 2, 3])]), NOT_OURS),
    "a comparator nobody knows": (edited(verdicts=[ttft(0.1, comparator="~")]), NOT_OURS),
    "a model that is a list": (edited(target={"model": ["x"]}), NOT_OURS),
    "counts that are none": (edited(counts=7), NOT_OURS),
    "a pipe": (replaced(os.mkfifo), "certificate.json: is no file, or too large a one"),
    "a folder": (replaced(Path.mkdir), "certificate.json: is no file, or too large a one"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_certificate_is_unreadable_and_the_rest_is_shown(name: str, tmp_path: Path) -> None:
    change, said = DAMAGED[name]
    judged(tmp_path, "good", "2026-01-01T00:00:00Z")
    change(judged(tmp_path, "bad", "2026-01-02T00:00:00Z") / "certificate.json")
    assert said in whys(tmp_path)["bad"]
    assert texts(index_page.page(find(tmp_path)), "h2")[1:] == [
        "smollm2-135m", "Folders without a certificate that can be read",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "facts", ["", "[]", '{"finished_utc": 7, "earlier_runs": "x"}', '{"finished_utc": "x"}']
)
def test_without_facts_a_run_stands_where_its_folder_was_changed(facts: str, tmp_path: Path) -> None:
    run = judged(tmp_path, "run", "2026-01-01T00:00:00Z")
    (run / "facts.json").write_text(facts)
    os.utime(run, (0, 0))
    (found,) = find(tmp_path)
    assert ("1970-01-01T00:00:00+00:00", None) == (found.when.isoformat(), found.attempt)


def test_half_a_character_in_a_certificate_or_a_name_can_be_written(tmp_path: Path) -> None:
    judged(tmp_path, "run", "2026-01-01T00:00:00Z", model="half \ud800")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).mkdir()
    html = index_page.write(tmp_path).read_text()
    assert "half ?" in html
    assert '<span class="mono">?</span>: holds no run' in html


def test_an_empty_folder_has_an_index_too(tmp_path: Path) -> None:
    assert "No run here has a certificate yet." in index_page.write(tmp_path).read_text()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match=r"gone: cannot be read: No such file or directory"):
        index_page.write(tmp_path / "gone")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.html").mkdir()
    with pytest.raises(DirectoryError, match=r"index\.html: cannot be written: Is a directory"):
        index_page.write(tmp_path)


def test_an_index_that_cannot_be_written_is_said_and_the_run_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "outputs"
    (outputs / "index.html").mkdir(parents=True)
    monkeypatch.setenv("HXBENCH_OUTPUTS", str(outputs))
    run = workbench.render(store(good(), outputs / "run"))
    assert "CERTIFIED" == run.certificate["status"]
    said = capfd.readouterr().err
    assert f"{outputs / 'index.html'}: cannot be written: Is a directory; the run itself is whole" in said
    assert () == workbench.verify(run.path).faults


def number(estimate: float, **more: Any) -> Number:
    values = {"low": None, "high": None, "limit": None, "verdict": "PASS"} | more
    return Number(id="x", name="x", unit="s", comparator="<=", estimate=estimate, **values)


def test_the_trend_begins_at_zero_and_the_largest_value_has_room() -> None:
    made = trend(
        [number(0.0), number(10.0, low=5.0, high=None), None, number(2.0, low=1.0, high=3.0)], ["a"] * 4
    )
    bottom, top = HEIGHT - 7, 7 + (HEIGHT - 14) * (1 - 1 / 1.1)
    assert [7.0, 89.0, 253.0] == [point.x for point in made.points]
    assert [bottom, round(top, 1)] == [made.points[0].y, made.points[1].y]
    assert (None, None) == (made.points[0].low, made.points[0].high)
    assert 7.0 == made.points[1].high  # an open end reaches the edge
    assert WIDTH - 7 == made.points[2].x


@pytest.mark.parametrize(("limit", "drawn"), [(10.9, True), (11.1, False), (None, False), (-1.0, False)])
def test_a_limit_is_drawn_where_it_lies_on_the_axis(limit: float | None, drawn: bool) -> None:
    assert drawn == (trend([number(10.0, limit=limit)], ["a"]).limit_y is not None)


def test_another_profile_breaks_the_trend_between_its_runs() -> None:
    made = trend([number(1.0)] * 4, ["a", "a", "b", "b"])
    assert (130.0,) == made.breaks
    assert made.points[1].x < 130 < made.points[2].x


def test_a_verdict_is_seen_by_its_mark() -> None:
    words = ("PASS", "FAIL", "INCONCLUSIVE", "SPLENDID")
    made = trend([number(1.0, verdict=word) for word in words], ["a"] * 4)
    assert ["pass", "fail", "open", "open"] == [point.mark for point in made.points]


@pytest.mark.parametrize("values", [[0.0], [-1.0, -2.0], []])
def test_nothing_above_zero_is_drawn_at_the_bottom(values: list[float]) -> None:
    made = trend([number(value) for value in values], ["a"] * len(values))
    assert {HEIGHT - 7} >= {point.y for point in made.points}


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index over runs whose every text is foreign, and one history long enough for a fold."""
    outputs = tmp_path_factory.mktemp("outputs")
    for place, payload in enumerate(PAYLOADS):
        about = {"model": payload, "profile": payload, "sha256": payload, "counts": {payload: 1}}
        gate = ttft(0.1, payload) | {"metric": payload, "statistic": payload}
        name = f"{place} {payload}".replace("/", "|").replace("\0", "")[:80]
        judged(outputs, name, "2026-01-01T00:00:00Z", payload, verdicts=[gate], **about)
        (outputs / f"not {name}").mkdir()
    for day in range(10, 25):
        judged(outputs, f"r{day}", f"2026-01-{day}T00:00:00Z", sha256=str(day // 20))
    return index_page.write(outputs)


@pytest.fixture(scope="module")
def seen(browser: Any, hostile_page: Path) -> Seen:
    return opened(browser, hostile_page)


def test_in_a_browser_it_asks_for_nothing_and_runs_nothing(seen: Seen, hostile_page: Path) -> None:
    assert ([hostile_page.as_uri()], []) == (seen.requests, seen.complaints)
    assert seen.value("window.owned === undefined && document.scripts.length === 0")
    assert len(PAYLOADS) + 6 == seen.value("document.querySelectorAll('svg.trend').length")


@pytest.mark.parametrize("screen", SCREENS)
def test_on_every_screen_it_fits_and_axe_finds_nothing(screen: str, seen: Seen) -> None:
    seen.on(screen)
    assert seen.value("document.documentElement.scrollWidth <= innerWidth")
    seen.value("document.querySelectorAll('details').forEach((fold) => { fold.open = true })")
    assert [] == seen.violations()
    seen.picture(f"index-{screen}.png")
