"""A session as Markdown: pure, so that stored results can be rendered again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import figures
from benchmarks.experiments import CONNECTIONS, HXBENCH
from benchmarks.figures import Figure, Row, Spread, ratio, spread
from benchmarks.targets import Reached, reached
from hxbench.units import ABSENT, number

_TABLES = (
    (
        f"Capacity and cost ({CONNECTIONS} connections, as fast as they go)",
        (figures.TINY, figures.TOKENS, figures.CPU, figures.MEMORY),
        "Tiny answers come from nginx, streams of 256 tokens from the reference server.",
    ),
    (
        "Accuracy: p99 of the error against the server's own log (ttft 50 ms, itl 10 ms, 64 tokens)",
        (*figures.TTFT.values(), *figures.ITL.values()),
        "Of the error of each request or gap; of vLLM and GuideLLM, which report quantiles only, the "
        "distance of their p99 from the true one. vLLM ends its ttft at the role delta, which is no token.",
    ),
    (
        "Arrivals and start: p99 of the error at 500 req/s",
        (*figures.ARRIVALS.values(), figures.START),
        "Start: from the process to the first request of the load at the server, which is there already. "
        "Of vLLM and GuideLLM the error of arrivals is that from an even rate which begins with the first.",
    ),
    (
        "Notebooks and pages: `validation` on a run of 100 000 tokens, each in a process of its own",
        (figures.RUN_HEADLESS, figures.NOTEBOOK_SIZE, figures.PAGE_WRITTEN, figures.PAGE_SIZE),
        "Without a kernel: the same cells in one shell, which is what the questions themselves take. "
        "The page of nbconvert draws no figure and asks the network for scripts; ours holds what it needs.",
    ),
)
_MARKS = "<!-- benchmark: written by make benchmark -->", "<!-- end of benchmark -->"
_MET = {True: "ok", False: "**missed**", None: "not measured"}


def render(results: Mapping[str, Any]) -> str:
    """Returns the page of a session."""
    rows = results["rows"]
    clients = list(dict.fromkeys(row["client"] for row in rows))
    lines = ["# hxbench's load generator beside others", "", *_head(results), ""]
    for title, columns, note in _TABLES:
        if not any(spread(rows, figure, HXBENCH) for figure in columns):
            continue
        lines += [f"## {title}", "", *_table(rows, clients, columns), "", note, ""]
    lines += ["## Targets", "", *_targets(reached(rows)), ""]
    lines += [f"Not measured: {each}" for each in results["skipped"]]
    return "\n".join(lines).rstrip() + "\n"


def quoted(readme: str, results: Mapping[str, Any]) -> str:
    """Returns a README with the short form between its two marks."""
    before, begin, rest = readme.partition(_MARKS[0])
    _, end, after = rest.partition(_MARKS[1])
    return f"{before}{begin}\n{_short(results)}{end}{after}"


def _short(results: Mapping[str, Any]) -> str:
    """The medians of a few figures, whole."""
    rows, columns = results["rows"], (figures.TINY, figures.TOKENS, figures.CPU, figures.TTFT[64])
    lines = [_line(["", *(figure.title for figure in columns)]), _line(["---", *("---:" for _ in columns)])]
    for client in dict.fromkeys(row["client"] for row in rows):
        found = [spread(rows, figure, client) for figure in columns]
        if any(found):
            lines.append(_line([client, *(number(each.median) if each else ABSENT for each in found)]))
    lines += ["", f"{_circumstances(results)}, {results['date']}, {results['machine']['cpu_model']}."]
    return "\n".join(lines) + "\n"


def _head(results: Mapping[str, Any]) -> list[str]:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    pinned = "server and client on a core each" if results["pinned"] else "server and client share the core"
    return [
        f"{results['date']}; {machine['cpu_model']}, {machine['cores']} cores, {machine['system']} "
        f"{machine['kernel']}, Python {machine['python']}; {versions}.",
        f"{_circumstances(results)}; {pinned}. In brackets the least and the most of them, then the ratio of "
        "the median to hxbench's.",
        "",
        "`make benchmark` measures this again on your machine; the raw figures are in `results.json`.",
    ]


def _circumstances(results: Mapping[str, Any]) -> str:
    times, loads = results["repetitions"], [row["load1"] for row in results["rows"]]
    crowd = f"load average of {min(loads):.1f} to {max(loads):.1f}"
    return f"Medians of interleaved repetitions ({times}), at a {crowd}"


def _table(rows: Sequence[Row], clients: Sequence[str], columns: Sequence[Figure]) -> Iterator[str]:
    yield _line(["client", *(figure.title for figure in columns)])
    yield _line(["---", *("---:" for _ in columns)])
    ours = [spread(rows, figure, HXBENCH) for figure in columns]
    for client in clients:
        found = [spread(rows, figure, client) for figure in columns]
        if any(found):
            yield _line([client, *map(_cell, found, ours)])


def _cell(found: Spread | None, ours: Spread | None) -> str:
    if found is None:
        return ABSENT
    text = number(found.median)
    if found.least < found.most:
        text += f" ({number(found.least)} to {number(found.most)})"
    times = ratio(found, ours)
    return text if times is None or found == ours else f"{text} × {number(times)}"


def _targets(found: Sequence[Reached]) -> Iterator[str]:
    yield _line(["what", "target", "reached", "", "limited by"])
    yield _line(["---", "---", "---:", "---", "---"])
    for each in found:
        yield _line(
            [
                each.target.what,
                _limit(each),
                _value(each),
                _MET[each.met],
                "" if each.met else each.limited_by,
            ]
        )


def _limit(each: Reached) -> str:
    sign = "≥" if each.target.figure.more_is_better else "≤"
    beside = f" × {each.target.to}" if each.target.to else ""
    return f"{sign} {number(each.target.limit)}{beside}"


def _value(each: Reached) -> str:
    return number(each.value) + (" ×" if each.target.to and each.value is not None else "")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
