"""Several profiles or runs in one call: measured one after the other, then rendered side by side.

Rendering disturbs a measurement, so all is measured before the first is rendered.
"""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hxbench.cli import side_by_side, step_summary
from hxbench.cli.outcomes import Outcome, broken, say, shown
from hxbench.errors import DirectoryError, HxbenchError, InputError, StoppedError

if TYPE_CHECKING:
    from hxbench.plan.layers import Resolved
    from hxbench.record.supervisor import StopRequest


def certify(
    asked: Sequence["Resolved"],
    out: Path | None,
    *,
    undecided_ok: bool,
    sign_key: Path | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Records each, then renders what was recorded and signs it; returns the worst exit status.

    Raises: InputError when one of them cannot work; nothing was started.
    """
    from hxbench.record.supervisor import Interrupted, stop_signals

    _check(asked, out, undecided_ok=undecided_ok, sign_key=sign_key, yes=yes)
    recorded: list[Outcome] = []
    try:
        with stop_signals() as stop:
            for place, resolved in enumerate(asked, start=1):
                say(f"measuring {place} of {len(asked)}: {resolved.profile.name}")
                recorded.append(_recorded(resolved, out, yes=yes))
                _raise_if_stopped(recorded[-1], stop)
            done = [_signed(each, sign_key) for each in _rendered(recorded, stop)]
    except (KeyboardInterrupt, Interrupted) as error:
        return _interrupted(recorded, len(asked), error)
    return shown(done, as_json=as_json)


def render(directories: Sequence[Path]) -> int:
    """Renders the runs side by side; returns the worst exit status.

    Raises: InputError when one is no run or named twice; nothing was written.
    """
    from hxbench.record.supervisor import Interrupted, stop_signals

    real = [path.resolve() for path in directories]
    twice = [given for given, path in zip(directories, real, strict=True) if real.count(path) > 1]
    if twice:
        raise InputError(f"{twice[-1]}: named twice")
    # opening puts killed ones together, for which it needs the machine's lock: one after the other
    recorded = [_opened(path) for path in directories]
    try:
        with stop_signals() as stop:
            done = _rendered(recorded, stop)
    except (KeyboardInterrupt, Interrupted) as error:
        return _interrupted(recorded, len(recorded), error)
    return shown(done, as_json=False)


def _check(
    asked: Sequence["Resolved"],
    out: Path | None,
    *,
    undecided_ok: bool,
    sign_key: Path | None,
    yes: bool,
) -> None:
    """Raises InputError or BusyError when one of them cannot even be started."""
    from hxbench import workbench
    from hxbench.record import lock
    from hxbench.recording import Recording, outputs
    from hxbench.render.progress import view

    for resolved in asked:
        workbench.require_answerable(resolved.profile, undecided_ok=undecided_ok)
        Recording(resolved, None, view(), yes=yes).check()
    if sign_key is not None:
        from hxbench.render import signing

        signing.signer(sign_key)
    with lock.measuring(out or outputs()):
        pass
    if out is not None:
        _make_folder(out)


def _make_folder(out: Path) -> None:
    if (out / "records").exists():
        raise DirectoryError(f"{out}: holds a run: of several profiles --out is the folder of their runs")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DirectoryError(f"{out}: cannot be written: {error.strerror}") from None


def _recorded(resolved: "Resolved", out: Path | None, *, yes: bool) -> Outcome:
    from hxbench import workbench
    from hxbench.record.supervisor import Interrupted
    from hxbench.records import run_directory

    name = resolved.profile.name
    folder = None if out is None else out / run_directory.fresh_name(resolved, name, datetime.now(UTC))
    try:
        return Outcome(name, workbench.run(resolved, folder, yes=yes, calibrated=True).path)
    except StoppedError as stop:  # before its first request: nothing of it was kept
        raise Interrupted(stop.signal) from None
    except Exception as error:  # of whatever kind: the others are still to be measured
        return broken(name, error)


def _opened(path: Path) -> Outcome:
    """Raises InputError when it is no run."""
    from hxbench import workbench

    try:
        run = workbench.open(path).path
    except InputError:
        raise
    except Exception as error:  # a run, but one that ended before its first request, or is being recorded
        return broken(path.resolve().name, error)
    return Outcome(run.name, run)


def _raise_if_stopped(outcome: Outcome, stop: "StopRequest") -> None:
    """Raises Interrupted when a signal came between two recordings, or ended the last one."""
    from hxbench.record.supervisor import Interrupted
    from hxbench.records import run_directory

    stop.raise_if_asked()
    number = None if outcome.run is None else run_directory.ending(outcome.run).get("signal")
    if number:
        raise Interrupted(number)


def _rendered(recorded: Sequence[Outcome], stop: "StopRequest") -> list[Outcome]:
    from hxbench import units, workbench

    runs = [each.run for each in recorded if each.run is not None]
    if not runs:
        return list(recorded)
    at_once = min(len(runs), side_by_side.cores())
    say(f"rendering: runs: {units.count(len(runs))}, at once: {at_once}")
    found = side_by_side.render(runs, stop)
    done = [each if each.run is None else each.rendered(*found[each.run]) for each in recorded]
    for each in done:
        if each.run is not None and each.said is None:
            step_summary.append(each.run)
    workbench.write_index(runs[0])  # each wrote it without those that ended after it
    return done


def _signed(outcome: Outcome, key: Path | None) -> Outcome:
    from hxbench import workbench

    if key is None or outcome.run is None or outcome.said is not None:
        return outcome
    try:
        workbench.sign(outcome.run, key)
    except HxbenchError as error:
        return outcome.not_done(str(error))
    return outcome


def _interrupted(recorded: Sequence[Outcome], of: int, error: BaseException) -> int:
    from hxbench.record.supervisor import Interrupted

    kept = [str(each.run) for each in recorded if each.run is not None]
    say(f"interrupted: recorded and kept: {len(kept)} of {of}")
    if kept:
        say(f"their pages: hxbench render {shlex.join(kept)}")
    return 128 + int(error.args[0]) if isinstance(error, Interrupted) else 130
