"""Measures the criteria of the development gate, prints one line each, ends with 1 when one is broken.

python -m tools.quality                              all of them
python -m tools.quality tests line-coverage          these
"""

import io
import json
import re
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COVERAGE = Path("build/coverage.json")
WINDOW_TOKENS = 50  # the shortest repetition that counts: jscpd's default
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


@dataclass(frozen=True)
class Reading:
    """What one criterion measured; `ok` is None when it could not be measured."""

    value: str
    limit: str
    ok: bool | None
    detail: str = ""


def tests() -> Reading:
    COVERAGE.parent.mkdir(exist_ok=True)
    COVERAGE.unlink(missing_ok=True)
    module("coverage", "erase")
    status = subprocess.call([sys.executable, "-m", "coverage", "run", "-m", "pytest"])
    module("coverage", "combine", "--quiet")
    module("coverage", "json", "--quiet", "-o", str(COVERAGE))
    return Reading("all pass" if status == 0 else f"pytest ended with {status}", "all pass", status == 0)


def line_coverage() -> Reading:
    return covered("covered_lines", "num_statements", limit=95)


def branch_coverage() -> Reading:
    return covered("covered_branches", "num_branches", limit=90)


def covered(done: str, of: str, *, limit: int) -> Reading:
    """The share over all files against `limit` per cent; the detail names the three files lowest."""
    if not COVERAGE.exists():
        return Reading("nothing measured", f"> {limit} %", ok=False)
    report = json.loads(COVERAGE.read_text())
    percent = share_percent(report["totals"], done, of)
    files = sorted((share_percent(file["summary"], done, of), name) for name, file in report["files"].items())
    lowest = ", ".join(f"{name} {value:.0f} %" for value, name in files[:3] if value <= limit)
    return Reading(f"{percent:.1f} %", f"> {limit} %", percent > limit, lowest and f"lowest: {lowest}")


def share_percent(totals: Mapping[str, int], done: str, of: str) -> float:
    return 100 * totals[done] / totals[of] if totals[of] else 100.0


def lint() -> Reading:
    findings = json.loads(module("ruff", "check", "--output-format", "json", ".").stdout or "[]")
    unformatted = module("ruff", "format", "--check", "--quiet", ".").returncode != 0
    count = len(findings) + unformatted
    return Reading(str(count), "0 findings", count == 0, "see make lint" if count else "")


def types() -> Reading:
    done = module("mypy")
    found = re.search(r"Found (\d+) error", done.stdout)
    value = "0" if done.returncode == 0 else found[1] if found else "mypy broke"
    return Reading(value, "0 errors", done.returncode == 0, "" if done.returncode == 0 else "see make types")


def complexity() -> Reading:
    """The most complex function by McCabe's count, as ruff computes it."""
    options = ["--select", "C901", "--config", "lint.mccabe.max-complexity=0", "--output-format", "json"]
    findings = json.loads(module("ruff", "check", *options, "hxbench", "tools").stdout)
    rows = [(int(re.findall(r"\d+", row["message"])[-2]), row) for row in findings]
    worst, row = max(rows, key=lambda pair: pair[0])
    place = f"{Path(row['filename']).relative_to(Path.cwd())}:{row['location']['row']}"
    return Reading(str(worst), "< 10 a function", worst < 10, f"most: {place}")


def duplication() -> Reading:
    sources = {str(path): path.read_text() for path in sorted(Path("hxbench").rglob("*.py"))}
    percent = 100 * duplicated_share(sources)
    return Reading(f"{percent:.1f} %", "< 5 %", percent < 5, f"runs of {WINDOW_TOKENS} equal tokens or more")


def duplicated_share(sources: Mapping[str, str], *, window: int = WINDOW_TOKENS) -> float:
    """The share of code lines that lie in a run of `window` tokens or more found at a second place."""
    places: dict[tuple[str, ...], list[frozenset[tuple[str, int]]]] = defaultdict(list)
    lines: set[tuple[str, int]] = set()
    for name, source in sources.items():
        tokens = list(code_tokens(source))
        lines.update((name, line) for _, line in tokens)
        for start in range(len(tokens) - window + 1):
            run = tokens[start : start + window]
            places[tuple(text for text, _ in run)].append(frozenset((name, line) for _, line in run))
    repeated: set[tuple[str, int]] = set()
    for found in places.values():
        if len(found) > 1:
            repeated.update(*found)
    return len(repeated) / len(lines) if lines else 0.0


def code_tokens(source: str) -> Iterator[tuple[str, int]]:
    """Each token with its line, without comments, layout, docstrings and imports."""
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            statement.append(token)
        if token.type == tokenize.NEWLINE:
            if not is_aside(statement):
                yield from ((part.string, part.start[0]) for part in statement)
            statement = []


def is_aside(statement: list[tokenize.TokenInfo]) -> bool:
    """Whether the statement is an import or a docstring."""
    strings_only = all(part.type == tokenize.STRING for part in statement)
    return strings_only or statement[0].string in ("import", "from")


def vulnerabilities() -> Reading:
    """What pip-audit knows about the installed packages; its service has to be reachable."""
    options = ["--format", "json", "--progress-spinner", "off", "--skip-editable", "--timeout", "5"]
    try:
        report = json.loads(module("pip_audit", *options, timeout=300).stdout)
    except (ValueError, subprocess.TimeoutExpired):
        report = {"dependencies": []}
    return audited(report["dependencies"])


def audited(packages: Sequence[Mapping[str, Any]]) -> Reading:
    """The reading of pip-audit's list: a package without `vulns` is one its service knows nothing about."""
    checked = [package for package in packages if "vulns" in package]
    if not checked:
        return Reading("not checked", "0", None, "pip-audit's service did not answer")
    known = sorted({f"{package['name']} {flaw['id']}" for package in checked for flaw in package["vulns"]})
    unchecked = f"{len(packages) - len(checked)} packages not checked" if len(checked) < len(packages) else ""
    return Reading(str(len(known)), "0", not known, ", ".join([*known, unchecked]).strip(", "))


def module(name: str, *arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", name, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )


CRITERIA: dict[str, Callable[[], Reading]] = {
    "tests": tests,
    "line-coverage": line_coverage,
    "branch-coverage": branch_coverage,
    "lint": lint,
    "types": types,
    "complexity": complexity,
    "duplication": duplication,
    "vulnerabilities": vulnerabilities,
}


def show(name: str, reading: Reading) -> None:
    state = {True: "ok", False: "NOT OK", None: "not checked"}[reading.ok]
    line = f"{name:16} {reading.value:12} limit {reading.limit:16} {state:11} {reading.detail}"
    print(line.rstrip(), flush=True)


def main(names: list[str]) -> int:
    readings = {name: CRITERIA[name]() for name in names or CRITERIA}
    for name, reading in readings.items():
        show(name, reading)
    return int(any(reading.ok is False for reading in readings.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
