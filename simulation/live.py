"""The relative gate on a server compared with itself: `make statistics-live` prints what `LIVE.md` holds.

Records one pool of trials of the embedded server, in half an hour at most, or takes the one in the folder
given, splits it at random into two arms again and again, and decides the relative gates on each split.
Nothing differs between the arms: a FAIL is false. Ends with 1 when a metric fails in more than 5 splits.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxbench import workbench
from hxbench.judge.evidence import QUANTILES
from hxbench.judge.measured import Measured
from hxbench.judge.relative import MARGINS, compare
from hxbench.judge.samples import by_trial, sample
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS
from hxbench.records.run_directory import Records
from hxbench.stats.quantiles import nearest_rank

SEED, SPLITS, MOST_FALSE_FAILS = 20261120, 100, 5
TRIALS, REQUESTS, WARMUP = 40, 40, "2 s"
LATENCIES = ("ttft", "e2e")

Values = NDArray[np.float64]


def pool(folder: Path) -> Records:
    """Returns the records of the pool in a folder; measures it, all its trials, unless it lies there."""
    load = {"trials": TRIALS, "looks": 1, "requests": REQUESTS, "warmup": WARMUP}
    asked: dict[str, Any] = {f"load__{key}": value for key, value in load.items()}
    return workbench.run("smollm2-135m", folder, checks=[], **asked).records


def statistics(measured: Measured) -> dict[tuple[str, str], Values]:
    """Returns one value a trial of each statistic that has a margin; infinite where a failure stands."""
    found: dict[tuple[str, str], Values] = {}
    for metric in LATENCIES:
        values = sample(measured, metric)
        trials = [np.sort(each) for each in by_trial(values.values, values.trial_of[values.owners])]
        for name in MARGINS.keys() & QUANTILES.keys():
            found[metric, name] = np.array([nearest_rank(each, QUANTILES[name]) for each in trials])
    return found | {("tokens", "throughput"): measured.token_rate.trials}


def splits(trials: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yields the trials of two arms of the same size."""
    generator = np.random.default_rng(SEED)
    for _ in range(SPLITS):
        drawn = generator.permutation(trials)
        yield drawn[: trials // 2], drawn[trials // 2 : trials // 2 * 2]


def verdicts(logs: Values, margin: float) -> list[str]:
    """Returns the verdict on each split."""
    return [compare(logs[one], logs[other], margin).verdict for one, other in splits(logs.size)]


def table(found: Mapping[tuple[str, str], Values]) -> Iterator[tuple[str, bool]]:
    """Yields the lines of the table, and with each whether it keeps to what is allowed."""
    yield "| metric | statistic | margin | noise between trials | PASS | undecided | FAIL |", True
    yield "|---" * 7 + "|", True
    for (metric, name), values in sorted(found.items()):
        logs, margin = np.log(values), MARGINS[name]
        decided = verdicts(logs, margin)
        counts = " | ".join(str(decided.count(each)) for each in (PASS, INCONCLUSIVE, FAIL))
        line = f"| {metric} | {name} | {margin - 1:+.0%} | {logs.std(ddof=1):.1%} | {counts} |"
        yield line, decided.count(FAIL) <= MOST_FALSE_FAILS


def main(folder: str | None = None) -> int:
    """Prints the table and returns the exit status."""
    with tempfile.TemporaryDirectory() as temporary:
        records = pool(Path(folder or temporary) / "pool")
        measured = Measured(records)
        print(f"{len(measured.attempted)} requests in {records.profile.load.trials} trials.")
        print(
            f"{SPLITS} splits, seed {SEED}; they share these trials, so they are not {SPLITS} experiments.\n"
        )
        lines = list(table(statistics(measured)))
    print("\n".join(line for line, _ in lines))
    return 0 if all(keeps for _, keeps in lines) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
