"""How often the shipped gates err: `make statistics` prints the tables that `RESULTS.md` holds.

Ends with 1 when a server exactly at its limit passes in more than 5 % of the runs beyond doubt: when even the
lower 95 % Monte Carlo bound of a cell is above that.
"""

import sys
from collections.abc import Iterator, Sequence

import numpy as np

from hxbench.judge.collect import quantile_evidence
from hxbench.judge.evidence import ALPHA_FAIL, ALPHA_PASS, QUANTILES
from hxbench.judge.samples import Sample
from hxbench.plan.objectives import Objective
from hxbench.stats.proportions import lower_bound
from hxbench.stats.sample_size import required_n
from simulation import processes
from simulation.processes import Process, Values

SEED = 20261120
MOST_FALSE_PASSES = 0.05
SIZES = (200, 1000, 3000)
STATISTICS = ("p50", "p95", "p99")
HELD = (
    processes.independent(),
    processes.autoregressive(0.5),
    processes.autoregressive(0.9),
    processes.slow_state(0.2, 10, 3),
    processes.queue(0.5),
    processes.queue(0.8),
)
BETWEEN_TRIALS = (processes.trials_that_differ(0.05), processes.trials_that_differ(0.2))
# A slow state that a run meets a few times, or never, cannot be told from none by that run.
BEYOND = (processes.slow_state(0.1, 20, 3), processes.slow_state(0.1, 50, 3))


def verdict(values: Values, statistic: str, limit: float) -> str:
    """Returns what the gate says about one run; `values` are trials by requests."""
    objective = Objective("ttft", statistic, "<=", limit, "s")
    trials = np.repeat(np.arange(values.shape[0]), values.shape[1])
    sample = Sample(values.ravel(), np.arange(values.size), trials)
    return quantile_evidence(objective, sample).decide(ALPHA_FAIL).verdict


def at_the_limit(process: Process, n: int, trials: int, runs: int) -> dict[str, list[str]]:
    """Returns the verdicts on each quantile of a server whose true quantile is the limit."""
    generator = np.random.default_rng([SEED, n, trials])
    drawn = process.draw(generator, runs * trials, n // trials).reshape(runs, trials, -1)
    return {
        name: [verdict(values, name, process.quantile(QUANTILES[name])) for values in drawn]
        for name in STATISTICS
    }


def false_passes(title: str, held: Sequence[Process], trials: int, runs: int) -> Iterator[tuple[str, bool]]:
    """Yields the lines of a table, and with each whether every cell of it keeps to what is allowed."""
    yield f"\n{title}\n", True
    heads = [f"{name}, n={n}" for n in SIZES for name in STATISTICS]
    yield f"| process | {' | '.join(heads)} |", True
    yield "|---" * (len(heads) + 1) + "|", True
    for process in held:
        found = [cell for n in SIZES for cell in at_the_limit(process, n, trials, runs).values()]
        passed = [cell.count("PASS") for cell in found]
        cells = [
            f"{ratio(count, runs)} / {100 * cell.count('FAIL') / runs:.1f}"
            for count, cell in zip(passed, found, strict=True)
        ]
        keeps = all(lower_bound(count, runs, 0.025) <= MOST_FALSE_PASSES for count in passed)
        yield f"| {process.name} | {' | '.join(cells)} |", keeps


def ratio(count: int, runs: int) -> str:
    """Returns a share in percent with its Monte Carlo standard error."""
    share = count / runs
    return f"{100 * share:.1f} ± {100 * np.sqrt(share * (1 - share) / runs):.1f}"


def power(runs: int) -> Iterator[str]:
    """Yields how often a server that misses a part of what is allowed passes, at the n planned for 90 %."""
    yield "\n| gate | true miss | n for 90 % (iid) | one trial | one trial, n + 25 % | five trials, 2 n |"
    yield "|---|---|---|---|---|---|"
    process = processes.independent()
    for name in ("p90", "p95", "p99"):
        allowed = 1 - QUANTILES[name]
        for part, words in ((2, "a half"), (3, "a third"), (4, "a quarter")):
            n = required_n(allowed, allowed / part, alpha=ALPHA_PASS).n
            limit = process.quantile(1 - allowed / part)
            cells = []
            for trials, size in ((1, n), (1, round(1.25 * n)), (5, 2 * n)):
                generator = np.random.default_rng([SEED, part, size])
                drawn = process.draw(generator, runs * trials, size // trials).reshape(runs, trials, -1)
                cells.append(ratio(sum(verdict(each, name, limit) == "PASS" for each in drawn), runs))
            yield f"| {name} | {words} | {n} | {' | '.join(cells)} |"


def main(runs: int) -> int:
    """Prints all tables and returns the exit status."""
    print(f"Seed {SEED}, {runs} runs a cell.")
    tables = (
        ("One trial", HELD, 1, True),
        ("Five trials, n in all", HELD + BETWEEN_TRIALS, 5, True),
        ("Beyond what one run can see: not held to the limit", BEYOND, 1, False),
    )
    kept = True
    for title, held, trials, is_held in tables:
        for line, keeps in false_passes(title, held, trials, runs):
            print(line + ("" if keeps or not is_held else " above 5 %"), flush=True)
            kept = kept and (keeps or not is_held)
    for line in power(runs):
        print(line, flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
