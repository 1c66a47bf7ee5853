"""The load generator's memory does not grow with the length of a run."""

import time
import tracemalloc
from pathlib import Path

import psutil
import pytest

from hxbench.record import decoder
from hxbench.records import tables
from hxbench.records.journal import Kind, Writer
from hxbench.records.schemas import SCHEDULE, TARGET
from hxbench.servers import reference
from hxbench.servers.pacing import Pace
from hxbench.wire.dialects import answers
from tests import loads
from tests.servers import DONE, END, STREAM_HEAD, delta, event

MS = 1_000_000
REQUESTS = 15_000
WORKER_BYTES = 2_000_000  # over a third of them: 400 bytes each, as the journal's buffer fills and empties
DECODER_BYTES = 300  # a request; its number is kept, its rows would be some thousands


def test_a_worker_needs_no_more_for_the_last_third_of_its_requests(tmp_path: Path) -> None:
    server = reference.start(Pace(ttft=0.0, itl=0.0, tokens=8))
    found = []
    try:
        worker = loads.start(tmp_path, loads.plan(tmp_path, server.url, loads.closed(REQUESTS), users=32))
        process = psutil.Process(worker.pid)
        worker.tell(f"start {time.monotonic_ns()}")
        while (said := worker.event(0.02)) is None:
            found.append(process.memory_info().rss)
        worker.stop()
    finally:
        server.stop()
    third = len(found) // 3
    assert ({"event": "finished"}, True) == (said, third >= 5)
    assert max(found[2 * third :]) - max(found[third : 2 * third]) < WORKER_BYTES


def test_a_decoder_keeps_nothing_of_requests_that_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 100)
    for name in ("records", "journal"):
        (tmp_path / name).mkdir()
    rows = [(f"t1-{n}", 1, TARGET, "measure", "main", None, "c", 0, None, "p", "s", 4, 1) for n in range(900)]
    tables.write(tmp_path / "records" / "schedule.parquet", SCHEDULE, rows)
    decoded = decoder.Tables(tmp_path, answers("openai-chat", stream=True), hash_text=False, secrets=())
    writer = Writer(tmp_path / "journal" / "t1-w0.journal")

    def bytes_after(numbers: range) -> int:
        for number in numbers:
            start = number * 100 * MS
            writer.add(Kind.DISPATCH, number, start)
            writer.add(Kind.READ, number, start + MS, STREAM_HEAD)
            for token in range(16):
                writer.add(Kind.READ, number, start + (token + 2) * MS, event(delta("a")))
            writer.add(Kind.READ, number, start + 20 * MS, event(delta(None, "stop")) + DONE + END)
            writer.add(Kind.END, number, start + 20 * MS)
        writer.flush()
        decoded.follow()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first, last = bytes_after(range(300)), bytes_after(range(300, 900))
    finally:
        tracemalloc.stop()
    writer.close()
    decoded.close()
    assert 900 == decoded.progress()["ok"]
    assert (last - first) / 600 < DECODER_BYTES
