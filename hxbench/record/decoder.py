"""The decoder: `python -m hxbench.record.decoder RUN_DIR`. Follows the journals and writes the tables.

It looks for journals of the run directory until stdin ends, reports progress on stdout, then finishes:
requests, reads, clock and phases get their names only when they are whole. `finish` does the same for a
run whose processes were killed: the journal is enough.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hxbench.record import redaction
from hxbench.record.children import Parent
from hxbench.record.decoding import Decoder, Planned, Row
from hxbench.record.tally import Tally
from hxbench.records import tables
from hxbench.records.journal import Reader
from hxbench.records.schemas import CLOCK, PHASES, READS, REQUESTS, TARGET
from hxbench.wire.dialect import Answer
from hxbench.wire.dialects import answers

POLL_S = 0.2
LINGER_S = 3.0  # for workers that see their stdin end at the same moment
JOURNALS = "journal"
GARBAGE_AFTER = 50_000  # objects made; what is decoded makes no cycles, and to look for them costs a tenth


class Tables:
    """Decodes all journals of a run into its tables."""

    def __init__(
        self, run_dir: Path, answer: Callable[[], Answer], *, hash_text: bool, secrets: tuple[str, ...]
    ) -> None:
        self._run_dir, self._answer = run_dir, answer
        self._hash_text, self._secrets = hash_text, secrets
        self._readers: dict[Path, tuple[Reader, Decoder]] = {}
        records = run_dir / "records"
        self._requests = tables.TableWriter(records / "requests.parquet", REQUESTS)
        self._reads = tables.TableWriter(records / "reads.parquet", READS)
        self._tally = Tally()

    def follow(self) -> None:
        """Decodes what has been journalled since the last call."""
        for path in sorted((self._run_dir / JOURNALS).glob("t*-w*.journal")):
            if path not in self._readers:
                trial, worker = _place(path)
                self._readers[path] = (Reader(path), self._decoder(trial, worker))
            reader, decoder = self._readers[path]
            for entry in reader.entries():
                decoder.feed(entry)

    @property
    def all_finished(self) -> bool:
        return all(decoder.finished for _, decoder in self._readers.values())

    def progress(self) -> dict[str, Any]:
        trial = max((_place(path)[0] for path in self._readers), default=None)
        mine = [decoder for path, (_, decoder) in self._readers.items() if _place(path)[0] == trial]
        return self._tally.progress(trial, mine)

    def close(self) -> None:
        trials: dict[int, list[Decoder]] = {}
        for path, (_, decoder) in self._readers.items():
            trials.setdefault(_place(path)[0], []).append(decoder)
        for first, *others in trials.values():
            first.finish(*others)
        records = self._run_dir / "records"
        clock = sorted(row for _, decoder in self._readers.values() for row in decoder.clock_rows)
        tables.write(records / "clock.parquet", CLOCK, clock)
        phases = [
            (trial, TARGET, stage or "main", phase, *times)
            for trial, decoders in trials.items()
            for name, *times in _merged(decoders)
            for phase, _, stage in [name.partition(" ")]
        ]
        tables.write(records / "phases.parquet", PHASES, phases)
        self._reads.close()
        self._requests.close()

    def _decoder(self, trial: int, worker: int) -> Decoder:
        return Decoder(
            worker,
            cache(lambda: _schedule(self._run_dir, trial)),
            self._emit,
            answer=self._answer,
            hash_text=self._hash_text,
            redact=lambda text: redaction.redact(text, self._secrets),
        )

    def _emit(self, request: Row, reads: list[Row]) -> None:
        self._requests.add(request)
        self._reads.add_all(reads)
        self._tally.add(request)


def _merged(decoders: Sequence[Decoder]) -> Iterator[tuple[str, int | None, int | None]]:
    """Yields each phase of a trial: from the first worker's start to the last one's end.

    A phase that one of them did not come to the end of has none.
    """
    for phase in dict.fromkeys(name for decoder in decoders for name in decoder.phases):
        starts, ends = zip(*(decoder.phases.get(phase, (None, None)) for decoder in decoders), strict=True)
        yield phase, _of(min, starts), _of(max, ends)


def _of(pick: Callable[[Iterable[int]], int], times: Sequence[int | None]) -> int | None:
    known = [time_ns for time_ns in times if time_ns is not None]
    return pick(known) if len(known) == len(times) else None


def _schedule(run_dir: Path, trial: int) -> dict[int, Planned]:
    columns = ["request_id", "trial", "target", "phase", "due_ns"]
    with pq.ParquetFile(run_dir / "records" / "schedule.parquet") as file:
        table = file.read(columns=columns)  # without what `read_table` imports beside a load
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    return {number: Planned(*row) for number, row in enumerate(rows) if row[1] == trial}


def _place(journal: Path) -> tuple[int, int]:
    """Trial and worker, from a name such as t1-w0.journal."""
    trial, worker = journal.stem.split("-")
    return int(trial[1:]), int(worker[1:])


def finish(run_dir: Path, answer: Callable[[], Answer], *, hash_text: bool, secrets: tuple[str, ...]) -> None:
    """Writes the tables of a run whose decoder was killed, from its journals alone."""
    for partial in (run_dir / "records").glob("*.partial"):
        partial.unlink()
    decoded = Tables(run_dir, answer, hash_text=hash_text, secrets=secrets)
    decoded.follow()
    decoded.close()


def _follow_until_end(decoded: Tables, parent: Parent) -> None:
    while not parent.is_silent(POLL_S):
        decoded.follow()
        _say(decoded.progress())
    deadline = time.monotonic() + LINGER_S
    decoded.follow()
    while not decoded.all_finished and time.monotonic() < deadline:
        time.sleep(POLL_S)
        decoded.follow()


def main() -> int:
    gc.set_threshold(GARBAGE_AFTER)
    run_dir, options, parent = Path(sys.argv[1]), json.loads(sys.argv[2]), Parent()
    secrets = tuple(os.environ[name] for name in options["secret_names"])
    try:
        answer = answers(options["protocol"], stream=options["stream"])
        decoded = Tables(run_dir, answer, hash_text=options["hash_text"], secrets=secrets)
        _follow_until_end(decoded, parent)
        if not parent.asked_to_stop:  # a run that was killed is put together by whoever opens it
            return 1
        decoded.close()
        _say(decoded.progress() | {"event": "finished"})
    except OSError as error:
        _say({"event": "failed", "reason": f"decoder: {error}"})
        return 1
    return 0


def _say(event: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):
        print(json.dumps(event), flush=True)  # noqa: T201 - stdout is the channel


if __name__ == "__main__":
    sys.exit(main())
