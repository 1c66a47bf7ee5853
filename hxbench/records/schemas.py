"""The tables of a run. Columns may be added; none is renamed or given another meaning.

A column that is added makes a new version of the schema and says so in its field, `pa.field(name, kind,
metadata={"since": "2"})`: files of an older version are read with nulls in it, and need all the others.
`tests/fixtures` keeps a run of every version.

Times are int64 nanoseconds of the recording host's CLOCK_MONOTONIC. Absent is null, never 0.
"""

import pyarrow as pa

SCHEMA_VERSION = 1
TARGET = "main"  # the name of the only target of a run

_i64, _i32, _text, _real = pa.int64(), pa.int32(), pa.string(), pa.float64()


def _table(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()), metadata={"hxbench.schema": str(SCHEMA_VERSION)})


SCHEDULE = _table(
    request_id=_text, trial=_i32, target=_text, phase=_text, stage=_text, user=_i32, conversation=_text,
    turn=_i32, due_ns=_i64, prompt_id=_text, prompt_class=_text, max_tokens=_i32, seed=_i64,
)  # fmt: skip

REQUESTS = _table(
    request_id=_text, trial=_i32, target=_text, worker=_i32, attempt=_i32,
    due_ns=_i64, dispatched_ns=_i64, connect_start_ns=_i64, connected_ns=_i64, sent_ns=_i64,
    first_byte_ns=_i64, first_token_ns=_i64, first_output_ns=_i64, last_token_ns=_i64, done_ns=_i64,
    outcome=_text, error_phase=_text, error=_text, http_status=_i32, finish_reason=_text,
    prompt_tokens=_i64, output_tokens=_i64, reasoning_tokens=_i64, cached_tokens=_i64, token_source=_text,
    deltas=_i64, first_read_deltas=_i64, reads=_i64, bytes=_i64, text_sha256=_text, stamp=_text,
    server_prefill_ns=_i64, server_decode_ns=_i64,
)  # fmt: skip

READS = _table(
    request_id=_text, index=_i32, received_ns=_i64, bytes=_i64, deltas=_i32, characters=_i64, tokens=_i64,
    segments=_i32,
)  # fmt: skip

SERIES = _table(
    time_ns=_i64, trial=_i32, target=_text, source=_text, name=_text, labels=_text, value=_real
)  # fmt: skip

CLOCK = _table(monotonic_ns=_i64, realtime_ns=_i64, bracket_ns=_i64)

# Not in the first draft of the records: when each phase really began and ended, so that no reader has
# to guess the measured window from the requests.
PHASES = _table(trial=_i32, target=_text, stage=_text, phase=_text, start_ns=_i64, end_ns=_i64)

TABLES = {
    "schedule": SCHEDULE,
    "requests": REQUESTS,
    "reads": READS,
    "series": SERIES,
    "clock": CLOCK,
    "phases": PHASES,
}

# What every row of a table has.
KEYS = {
    "schedule": ("request_id", "trial", "phase"),
    "requests": ("request_id", "trial", "outcome"),
    "reads": ("request_id", "index", "received_ns", "deltas"),
    "series": ("time_ns", "trial", "source", "name"),
    "clock": ("monotonic_ns", "realtime_ns"),
    "phases": ("trial", "phase"),
}
# The largest table has others besides; who judges needs these.
JUDGED_READS = ("request_id", "index", "received_ns", "deltas", "tokens", "segments")
ONCE = ("schedule", "requests")  # each request has one row here
