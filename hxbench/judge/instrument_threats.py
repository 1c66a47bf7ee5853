"""How far the instrument and the machine may have spoiled a run. Each returns a value and its sentence;
None as value means unknown, None alone that this load cannot have the threat.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.judge.measured import Measured
from hxbench.judge.requests import NANOSECONDS, number, window_lengths
from hxbench.judge.resources import cores_used, coverage, sampled
from hxbench.stats.quantiles import nearest_rank

Found = tuple[float | None, str]

NOT_STATED = "no request states it"
LONGEST_READING_NS = 10_000_000_000  # clocks read further apart than this belong to two trials
HELD_S = 0.1  # ten times what the p99 of the lag may be: not late, but not the load that was asked for
_NO_HOST = "the host's CPU time was not sampled"


def send_lag(measured: Measured) -> Found | None:
    """Returns how late requests of an open loop went out, in seconds."""
    if measured.records.profile.load.loop != "open":
        return None
    lag = np.sort(measured.attempted["send_lag_s"].dropna().to_numpy())
    p99 = nearest_rank(lag, 0.99)
    could = "due" if measured.records.profile.load.max_in_flight is None else "due, with a place free,"
    return p99, f"p99 from {could} to dispatched is {units.duration(p99)}"


def achieved_rate(measured: Measured) -> Found | None:
    """Returns by which share more or fewer were sent than were due in the measured window: the worst trial.

    One request may fall on either side of the window's end by nobody's fault.
    """
    if measured.records.profile.load.loop != "open":
        return None
    found = [_sent_and_due(measured, *trial) for trial in window_lengths(measured.records).items()]
    off = [(max(abs(sent - due) - 1, 0) / due, sent, due) for sent, due in found if due]
    if not off:
        return None, NOT_STATED
    share, sent, due = max(off)
    return share, f"{sent} requests were sent in the time in which {due} were due"


def held_back(measured: Measured) -> Found | None:
    """Returns the share of an open loop's requests that were sent HELD_S or more after they could be.

    A load that rests is followed by a crowd: the rate over the whole window does not show it.
    """
    if measured.records.profile.load.loop != "open":
        return None
    lag = measured.attempted["send_lag_s"].dropna()
    if lag.empty:
        return None, NOT_STATED
    share = float((lag >= HELD_S).mean())
    return share, f"{units.share(share)} of the requests went out {units.duration(HELD_S)} or more too late"


def stood_still(measured: Measured) -> Found:
    """Returns how long at most nothing went out that could have, in seconds: a stopped generator shows here.

    In 60 s a stop of 2 s is a small share of the requests and may yet decide a p99.
    """
    lag = measured.attempted["send_lag_s"].dropna()
    if lag.empty:
        return None, NOT_STATED
    longest_s = max(float(lag.max()), 0.0)
    return longest_s, f"the longest that a request or a user was kept waiting is {units.duration(longest_s)}"


def _sent_and_due(measured: Measured, trial: int, length_s: float) -> tuple[int, int]:
    rows = measured.requests[measured.requests["trial"] == trial]
    sent, due = (int(rows[name].between(0, length_s, "left").sum()) for name in ("dispatched_s", "due_s"))
    return sent, due


def idle_share(measured: Measured) -> Found | None:
    """Returns the share of a closed loop's user time in which nothing was asked."""
    if measured.records.profile.load.loop != "closed":
        return None
    attempted = measured.attempted
    lag = attempted["send_lag_s"].dropna()
    busy_s = float((attempted["done_s"] - attempted["dispatched_s"]).sum())
    if lag.empty or busy_s <= 0:
        return None, "too few requests a user to see when it became free"
    idle_s = float(lag.sum())
    p99 = nearest_rank(np.sort(lag.to_numpy()), 0.99)
    share = idle_s / (idle_s + busy_s)
    idle = f"users were idle {units.share(share)} of the time"
    return share, f"{idle}; p99 to the next request is {units.duration(p99)}"


def foreign_cpu(measured: Measured) -> Found:
    """Returns the host's busy time less server and load generator, as a share of all cores in the windows."""
    records = measured.records
    cores = records.facts.get("host", {}).get("cores")
    host = sampled(records, "host", "cpu_busy_seconds")
    own = [sampled(records, source, "cpu_seconds") for source in ("process", "client")]
    lengths = window_lengths(records)
    if not cores or host.empty or own[1].empty or not lengths:
        return None, _NO_HOST
    foreign_s = [_foreign_seconds(host, own, trial, length_s) for trial, length_s in lengths.items()]
    share = sum(foreign_s) / (sum(lengths.values()) * cores)
    if np.isnan(share):
        return None, _NO_HOST
    share = max(share, 0.0)
    return share, f"other work took {units.share(share)} of {cores} cores"


def _foreign_seconds(host: pd.DataFrame, own: Sequence[pd.DataFrame], trial: int, length_s: float) -> float:
    window = np.array([0.0, length_s])
    used = sum(float(np.nan_to_num(cores_used(each, trial, window))[0]) for each in own)
    return (float(cores_used(host, trial, window)[0]) - used) * length_s


def cut_short(measured: Measured) -> Found:
    """Returns the share of the N requests that we ended, or that a killed run left behind."""
    attempted = measured.attempted
    if not len(attempted):
        return None, NOT_STATED
    n, cut = len(attempted), int(attempted["outcome"].isin(["cancelled", "unfinished"]).sum())
    return cut / n, f"{cut} of {n} requests were cut or never came back; they count as failed"


def coalesced(measured: Measured) -> Found:
    """Returns the share of reads that hid a gap: tokens of several segments, all stamped with the last one's.

    A single token with segments behind it hides none: llama.cpp sends its last token and four segments
    that end the stream at once, which is one read in sixteen here.
    """
    reads = measured.records.reads
    known = reads["segments"].notna().to_numpy()
    if not known.any():
        return None, "the platform does not say how many segments a read joined"
    several = (number(reads["segments"]) > 1)[known]
    share = float((several & (number(reads["deltas"]) > 1)[known]).mean())
    return share, (
        f"{units.share(share)} of the reads joined tokens of several segments under one stamp, "
        f"{units.share(float(several.mean()))} joined segments of any kind"
    )


def user_stamps(measured: Measured) -> Found:
    """Returns the share of requests whose stamps the program took when it came to read."""
    stamps = measured.attempted["stamp"].dropna()
    if stamps.empty:
        return None, NOT_STATED
    share = float((stamps == "user").mean())
    return share, f"{units.share(share)} of the requests were stamped by the program, not by the kernel"


def clock_step(measured: Measured) -> Found:
    """Returns the largest change of the kernel's clock against the monotonic one between two readings, in s.

    Kernel stamps are converted by the last reading; one across a pause (between trials) converts nothing.
    """
    clock = measured.records.clock.sort_values("monotonic_ns")
    monotonic_ns = clock["monotonic_ns"].to_numpy(dtype="int64")
    offset_ns = clock["realtime_ns"].to_numpy(dtype="int64") - monotonic_ns
    neighbours = np.diff(monotonic_ns) < LONGEST_READING_NS
    if not neighbours.any():
        return None, "the two clocks were not read"
    step_s = float(np.abs(np.diff(offset_ns)[neighbours]).max()) / NANOSECONDS
    return step_s, f"the kernel's clock moved by up to {units.duration(step_s)} between two readings"


def reconnected(measured: Measured) -> Found:
    """Returns the share of requests that found their connection dead and were sent once more on a new one."""
    mine = measured.records.requests["request_id"].isin(measured.attempted["request_id"])
    attempts = measured.records.requests.loc[mine, "attempt"].dropna()
    if attempts.empty:
        return None, NOT_STATED
    share = float((attempts > 1).mean())
    return share, f"{units.share(share)} of the requests were sent again on a new connection"


def sampler(measured: Measured) -> Found:
    """Returns the samples a second of the server's processes, of the worst trial."""
    series = sampled(measured.records, "process", "rss_bytes")
    covered = None if series.empty else coverage(measured.records, series)
    if covered is None:
        return None, "the server's processes were not sampled"
    rate, gap = units.number(covered.rate_hz), units.duration(covered.largest_gap_s)
    return covered.rate_hz, f"{rate} samples a second; the longest gap is {gap}"


def sampler_cost(measured: Measured) -> Found:
    """Returns the cores that the sampler itself kept busy in the measured windows, of the worst trial."""
    series = sampled(measured.records, "client", "sampler_cpu_seconds")
    lengths = window_lengths(measured.records)
    cores = [float(cores_used(series, trial, np.array([0.0, s]))[0]) for trial, s in lengths.items()]
    if not cores or np.isnan(cores).any():
        return None, "the sampler's processor time was not recorded"
    return max(cores), f"the sampler kept {units.share(max(cores))} of one core busy"
