"""A notebook as one page: what it holds, in which order, and what it refuses."""

import base64
import gzip
import hashlib
import json
import re
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
import notebooks_by_hand as by_hand
import plotly
import pytest
from hostile import PAYLOADS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from hxbench.errors import DirectoryError, InputError
from hxbench.render.exporter import Exporter, page, write_page
from hxbench.render.plot_data import PLOTLY_MIME, TRACE_TYPES, plot
from hxbench.render.plot_tables import ROWS, SERIES
from hxbench.render.template import asset, plotly_bundle, plotly_packed, policy

ASSETS = files("hxbench.render") / "assets"


def embedded_scripts(html: str) -> list[str]:
    """Returns the scripts of a page that a browser runs."""
    return re.findall(r"<script>(.*?)</script>", html, re.DOTALL)


def test_the_bundle_is_the_plotly_of_python() -> None:
    ours = re.search(r"plotly\.js \(cartesian - minified\) v([0-9.]+)", plotly_bundle())
    theirs = re.search(rb"plotly\.js v([0-9.]+)", (files(plotly) / "package_data/plotly.min.js").read_bytes())
    assert ours is not None
    assert theirs is not None
    assert theirs[1].decode() == ours[1]


def test_the_bundle_is_the_file_that_the_notice_names() -> None:
    packed = (ASSETS / "plotly-cartesian.min.js.gz").read_bytes()
    assert (
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00" == packed[:8]
    )  # no name, no time: the same bytes from the same file
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() in (ASSETS / "README.md").read_text()


def test_the_bundle_draws_the_trace_types_that_are_let_through() -> None:
    assert set(re.findall(r'moduleType:"trace",name:"([a-z0-9]+)"', plotly_bundle())) == TRACE_TYPES


def test_a_page_with_figures_is_below_a_megabyte() -> None:
    assert 1_000_000 > len(page(by_hand.after_run(by_hand.figure())).encode())


def test_the_same_notebook_gives_the_same_bytes() -> None:
    assert page(by_hand.after_run(by_hand.figure())) == page(by_hand.after_run(by_hand.figure()))


def test_only_the_scripts_of_the_page_may_run() -> None:
    html = page(by_hand.after_run(by_hand.figure()))
    (loader,) = embedded_scripts(html)
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in (loader, plotly_bundle())
    ]
    assert f"script-src {' '.join(hashes)};" in unescape(html)
    assert policy(loader, plotly_bundle()) in unescape(html)


def test_a_page_without_figures_has_no_script_and_lets_none_run() -> None:
    html = page(by_hand.after_run(by_hand.shown({"text/plain": "7"})))
    assert [] == embedded_scripts(html)
    assert "script-src &#39;none&#39;" in html


def test_nothing_in_a_page_points_outside_it() -> None:
    html = page(by_hand.after_run(by_hand.figure())).replace(plotly_packed(), "")
    assert [] == re.findall(r"(?:src|href|url\()=?\s*[\"']?(?:https?:)?//", html)


def test_the_verdict_stands_on_top() -> None:
    html = page(by_hand.after_run(prose="# Speed of x\n\nProse."))
    assert html.index("CERTIFIED") < html.index("All 9 required cases passed.") < html.index("Prose.")
    assert ["Speed of x"] == re.findall(r"<h1>(.*?)</h1>", html)


def test_a_notebook_without_a_heading_is_called_by_its_name() -> None:
    assert "<h1>x.ipynb</h1>" in page(by_hand.after_run(prose="Prose."), name="x.ipynb")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda cells: cells.pop(), "it shows no result"),
        (lambda cells: cells[1].update(execution_count=None), "code cell 1 never ran to its end"),
        (
            lambda cells: cells[1].outputs.append(new_output("error", ename="ValueError", evalue="no\nmore")),
            "code cell 1 ended in ValueError: no",
        ),
        (
            lambda cells: cells[1].outputs.append(new_output("error", ename="KeyboardInterrupt", evalue="")),
            "code cell 1 ended in KeyboardInterrupt",
        ),
    ],
    ids=["no result", "never ran", "failed", "interrupted"],
)
def test_a_partial_notebook_says_so_instead_of_its_verdict(fault: Any, reason: str) -> None:
    notebook = by_hand.after_run()
    fault(notebook.cells)
    html = page(notebook)
    assert f"This notebook proves nothing: {reason}." in html
    assert '<p class="word">INCOMPLETE</p>' in html
    assert '<p class="word">CERTIFIED</p>' not in html


def test_an_empty_code_cell_is_no_gap() -> None:
    notebook = by_hand.after_run()
    notebook.cells.append(new_code_cell(""))
    assert '<p class="word">CERTIFIED</p>' in page(notebook)


def test_the_facts_of_the_result_are_written_as_a_reader_reads_them() -> None:
    result = {
        "created": "2026-01-02T03:06:05Z",
        "profile_sha256": "b179c952" + "0" * 56,
        "counts": {"passed": 2},
    }
    html = page(by_hand.after_run(result=by_hand.RESULT | result))
    for shown in ("2026-01-02 03:06:05 UTC", "b179c9520000", "2 passed"):
        assert f"<dd>{shown}</dd>" in html


def test_a_status_that_nobody_knows_does_not_look_good() -> None:
    html = page(by_hand.after_run(result={"status": "SPLENDID"}))
    assert '<div class="status unsure">' in html


@pytest.mark.parametrize("payload", PAYLOADS)
def test_foreign_text_stays_text_wherever_it_comes_out(payload: str) -> None:
    notebook = by_hand.after_run(
        by_hand.shown({"text/plain": payload}),
        by_hand.shown({"text/html": payload}),
        by_hand.shown({"text/markdown": payload}),
        new_output("stream", name="stdout", text=payload),
        new_output("stream", name="stderr", text=payload),
        by_hand.figure(name=payload),
        prose=f"# {payload}",
        result={"status": payload, "status_reason": payload, "run": payload, "model": payload},
    )
    notebook.cells.append(new_code_cell(payload, execution_count=3))
    notebook.cells.append(nbformat.v4.new_raw_cell(payload))
    html = page(notebook, name=payload)
    assert [asset("page.js")] == embedded_scripts(html)
    assert not re.search(r"<(?:img|iframe|svg|math|link|base|form|object|embed|video|body on)", html)
    assert not set(re.findall(r"[\u202a-\u202e\u2066-\u2069\x00\x1b]", html))


@pytest.mark.parametrize(
    "letter", ["\u202e", "\u2066", "\u200b", "\u00ad", "\ufeff", "\x07", "\x9b", "\ud800", "\U000e0041"]
)
def test_what_cannot_be_seen_is_replaced_also_in_a_figure(letter: str) -> None:
    figure = by_hand.figure(name=f"PA{letter}SS")
    html = page(by_hand.after_run(figure, by_hand.shown({"text/plain": f"PA{letter}SS"})))
    assert letter not in html
    assert b"PA\xef\xbf\xbdSS" in html.encode()  # a file can hold it


def test_letters_of_all_scripts_stay_as_they_are_also_in_a_figure() -> None:
    name = "Größe 時間 می\u200cخواهم 👩\u200d🔬"
    html = page(by_hand.after_run(by_hand.figure(name=name)))
    assert f'"name":"{name}"' in html
    assert f"<caption>{name}</caption>" in html


def test_a_failed_cell_shows_its_error_first_and_the_traceback_in_a_fold() -> None:
    error = new_output(
        "error", ename="ValueError", evalue="<b>", traceback=["\x1b[31mline 1\x1b[0m", "line 2"]
    )
    html = page(by_hand.after_run(error))
    assert "<pre>ValueError: &lt;b&gt;</pre>" in html
    assert "<details><summary>Traceback</summary><pre>line 1\nline 2</pre></details>" in html


def test_scripts_among_the_outputs_are_left_out() -> None:
    output = by_hand.shown({"application/javascript": "window.owned = 1"})
    assert "window.owned" not in page(by_hand.after_run(output))


def test_an_image_is_shown_and_a_broken_one_is_not() -> None:
    assert 'src="data:image/png;base64,aGk="' in page(
        by_hand.after_run(by_hand.shown({"image/png": "aGk=\n"}))
    )
    html = page(by_hand.after_run(by_hand.shown({"image/png": '"><b>', "text/plain": "an image"})))
    assert "<pre>an image</pre>" in html


def test_an_enormous_table_is_shown_as_text() -> None:
    html = page(by_hand.after_run(by_hand.shown({"text/html": "<b>" * 100_000, "text/plain": "a table"})))
    assert "<pre>a table</pre>" in html


def test_what_papermill_puts_on_top_of_a_failed_notebook_is_left_out() -> None:
    notebook = by_hand.after_run()
    marker = new_markdown_cell("<span>An Exception</span>", metadata={"tags": ["papermill-error-cell-tag"]})
    notebook.cells.insert(0, marker)
    assert "An Exception" not in page(notebook)


@pytest.mark.parametrize(("tags", "output", "asked"), [
    (["optional"], False, False), (["optional"], True, True), ([], False, True),
])  # fmt: skip
def test_an_optional_question_without_an_answer_is_left_out(
    tags: list[str], output: bool, asked: bool
) -> None:
    question = new_code_cell("run.stages", execution_count=7, metadata={"tags": tags})
    question.outputs = [by_hand.shown({"text/plain": "a table"})] if output else []
    notebook = by_hand.after_run()
    notebook.cells[1:1] = [new_markdown_cell("## Which stages?"), question]
    html = page(notebook)
    assert asked == ("Which stages?" in html) == ("run.stages" in html)


def test_the_code_is_folded() -> None:
    assert "<summary>Code</summary><pre><code>show()</code></pre>" in page(by_hand.after_run())


def test_a_figure_has_its_title_and_its_data_beside_it_for_readers_without_scripts() -> None:
    html = page(by_hand.after_run(by_hand.figure()))
    assert "<figcaption>A figure<small>of three points</small></figcaption>" in html
    assert 'role="img" aria-label="A figure. of three points"' in html
    assert "<caption>speed</caption>" in html
    assert '<details class="data" open>' in html  # the script that draws the figure folds it
    assert '<tr><th scope="row">1</th><td>4</td></tr>' in html


def test_a_figure_whose_data_no_table_can_hold_says_where_it_is() -> None:
    html = page(by_hand.after_run(by_hand.figure(type="pie", labels=["a"], values=[1], x=None, y=None)))
    assert "This figure needs scripts to be drawn; its data is in the notebook." in html
    assert "Data of this figure" not in html


def test_the_data_of_a_figure_cannot_end_its_script_element() -> None:
    made = plot({"data": [{"name": "</script>"}], "layout": {}}, "here")
    assert "<" not in made.json
    assert "</script>" == json.loads(made.json)["data"][0]["name"]


def table_of(*traces: dict[str, Any], **layout: Any) -> Any:
    """Returns the one table of a figure with these traces."""
    (table,) = plot({"data": list(traces), "layout": layout}, "here").tables
    return table


def test_typed_arrays_are_read_into_the_table() -> None:
    packed = {"dtype": "f4", "bdata": base64.b64encode(bytes.fromhex("0000803f000000400000c07f")).decode()}
    assert [("1", "1"), ("2", "–"), ("–", "–")] == table_of({"x": packed, "y": [1, None]}).rows


def test_a_long_trace_is_thinned_evenly_in_the_table_and_says_so() -> None:
    table = table_of({"x": list(range(100)), "y": list(range(100)), "name": "a"})
    assert (ROWS, 100 - ROWS) == (len(table.rows), table.left_out)
    assert [("0", "0"), ("99", "99")] == [table.rows[0], table.rows[-1]]
    whole = table_of({"x": list(range(ROWS)), "y": list(range(ROWS))})
    assert (ROWS, 0) == (len(whole.rows), whole.left_out)
    html = page(by_hand.after_run(by_hand.figure(x=list(range(100)), y=list(range(100)))))
    assert "<caption>speed (40 rows between these are left out here)</caption>" in html


def test_more_series_than_a_reader_can_use_are_counted_instead() -> None:
    traces = [{"x": [1], "y": [1], "name": str(number)} for number in range(SERIES + 2)]
    made = plot({"data": traces}, "here")
    assert (1 + SERIES, 2) == (len(made.tables[0].columns), made.not_listed)
    html = page(by_hand.after_run(by_hand.shown({PLOTLY_MIME: {"data": traces, "layout": {}}})))
    assert "2 more series of this figure are not listed here." in html


def test_the_columns_of_the_table_are_the_titles_of_the_axes() -> None:
    layout = {
        "xaxis": {"matches": "x2"},
        "xaxis2": {"title": {"text": "Seconds"}},
        "yaxis": {"title": "Cores"},
    }
    assert ("Seconds", "Cores") == table_of(
        {"x": [1], "y": [1], "xaxis": "x", "yaxis": "y"}, **layout
    ).columns


def test_traces_along_the_same_axis_share_a_table_named_by_what_they_share() -> None:
    axes = {"yaxis": {"title": "tok/s"}, "yaxis2": {"title": "cores"}}
    same = {"x": [1, 2], "y": [3, 4]}
    panels = table_of(same | {"name": "trial 1"}, same | {"name": "trial 1", "yaxis": "y2"}, **axes)
    assert ("trial 1", ("x", "tok/s", "cores")) == (panels.caption, panels.columns)
    assert [("1", "3", "3"), ("2", "4", "4")] == panels.rows
    lines = table_of(same | {"name": "a"}, same | {"name": "b"}, **axes)
    assert ("tok/s", ("x", "a", "b")) == (lines.caption, lines.columns)
    both = table_of(same | {"name": "a"}, same | {"name": "b", "yaxis": "y2"}, **axes)
    assert ("", ("x", "a, tok/s", "b, cores")) == (both.caption, both.columns)


def test_bars_that_lie_are_listed_by_their_names() -> None:
    table = table_of(
        {"type": "bar", "orientation": "h", "x": [1.5], "y": ["first"]}, yaxis={"title": "Which"}
    )
    assert (("Which", "x"), [("first", "1.5")]) == (table.columns, table.rows)


def test_marks_beside_names_are_listed_by_their_names() -> None:
    table = table_of({"x": [0.5, 0.25], "y": ["ttft", "itl"]}, xaxis={"title": "Share of the limit"})
    assert ("Name", "Share of the limit") == table.columns
    assert [("ttft", "0.5"), ("itl", "0.25")] == table.rows
    assert ("Name", "y") == table_of({"x": ["a"], "y": [1]}).columns


def test_an_interval_drawn_at_a_value_is_listed_with_its_ends() -> None:
    trace = {"x": [2.0, 3.0], "y": ["a", "b"], "error_x": {"array": [0.5, None], "arrayminus": [0.25, 1.0]}}
    table = table_of(trace, xaxis={"title": "Share"})
    assert ("Name", "Share", "Share, from", "Share, to") == table.columns
    assert [("a", "2", "1.75", "2.5"), ("b", "3", "2", "–")] == table.rows
    even = table_of({"x": [1], "y": [2.0], "error_y": {"array": [0.5]}})
    assert [("1", "2", "1.5", "2.5")] == even.rows


def test_values_of_any_kind_are_listed_as_text() -> None:
    table = table_of({"x": [["a", "b"], "c"], "y": [2, True], "error_y": {"array": [0.5, "no number"]}})
    assert [("['a', 'b']", "2", "1.5", "2.5"), ("c", "True", "–", "–")] == table.rows


def test_values_without_a_place_are_numbered() -> None:
    assert [("1", "5"), ("2", "6")] == table_of({"type": "box", "y": [5, 6]}).rows


@pytest.mark.parametrize(
    ("axis", "shown"),
    [
        ({"tickvals": [0.1], "ticktext": ["100 ms"]}, "250 ms"),
        ({"tickvals": [0.1], "ticktext": ["10 %"]}, "25 %"),
        ({"tickformat": ".0%"}, "25 %"),
        ({"ticksuffix": "s"}, "250 ms"),
        ({"ticksuffix": "B"}, "0.25 B"),
        ({"ticktext": ["a name"]}, "0.25"),
        ({}, "0.25"),
    ],
)
def test_values_stand_in_the_unit_of_their_axis(axis: dict[str, Any], shown: str) -> None:
    assert [("1", shown)] == table_of({"x": [1], "y": [0.25]}, yaxis=axis).rows


def test_what_is_not_to_be_pointed_at_or_has_no_value_is_not_listed() -> None:
    given = [
        {"x": [1], "y": [1], "hoverinfo": "skip"},
        {"x": [1], "y": [float("nan")]},
        {"x": [None], "y": [None]},
    ]
    assert [] == plot({"data": given}, "here").tables


def test_a_trace_the_page_cannot_draw_is_an_error() -> None:
    with pytest.raises(
        InputError, match=r"^n\.ipynb: cell 1: trace type: the page draws bar, .*; got scatter3d$"
    ):
        page(by_hand.after_run(by_hand.figure(type="scatter3d")), name="n.ipynb")


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    notebook = tmp_path / "n.ipynb"
    nbformat.write(by_hand.after_run(), notebook)
    write_page(notebook, tmp_path / "n.html")
    assert (tmp_path / "n.html").read_text().startswith("<!doctype html>")
    with pytest.raises(
        DirectoryError, match=r"nowhere/n\.html: cannot be written: No such file or directory"
    ):
        write_page(notebook, tmp_path / "nowhere" / "n.html")
    assert ["n.html", "n.ipynb"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_file_that_is_no_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").write_text("{")
    with pytest.raises(InputError, match=r"n\.ipynb: not a notebook: "):
        write_page(tmp_path / "n.ipynb", tmp_path / "n.html")


def test_nbconvert_and_jupyterlab_know_the_exporter(repository: Path) -> None:
    html, resources = Exporter().from_notebook_node(by_hand.after_run(), {"metadata": {"name": "n"}})
    assert (".html", "text/html") == (resources["output_extension"], Exporter.output_mimetype)
    assert html.startswith("<!doctype html>")
    assert 'hxbench = "hxbench.render.exporter:Exporter"' in (repository / "pyproject.toml").read_text()


def test_a_notebook_of_code_alone_is_called_by_its_name() -> None:
    notebook = by_hand.after_run()
    del notebook.cells[0]
    assert "<h1>x.ipynb</h1>" in page(notebook, name="x.ipynb")
