"""The threats of the ledger: what each is held against, and whom it errs for."""

from collections.abc import Callable

from hxbench.judge import calibration_threats as calibration
from hxbench.judge import flow_threats as flow
from hxbench.judge import instrument_threats as instrument
from hxbench.judge import token_threats as tokens
from hxbench.judge.calibration import LIMIT_S, LIMIT_SHARE
from hxbench.judge.instrument_threats import Found
from hxbench.judge.ledger import Entry, Threat
from hxbench.judge.measured import Measured
from hxbench.judge.resources import LEAST_HZ
from hxbench.plan.objectives import LATENCIES

_TO_TOKENS = calibration.TO_TOKENS
_RATES = ("throughput_tokens", "throughput_requests")
_PER_TOKEN = ("throughput_tokens", "tpot")
_UNDER_LOAD = (*LATENCIES, "error_rate", "memory", "cpu")

# The limits are our own, and round: below them a verdict that holds its limit by its interval still does.
# fmt: off
_THREATS: tuple[tuple[Threat, Callable[[Measured], Found | None]], ...] = (
    (Threat("send_lag", "requests went out late",
            "s", 0.010, "harms", "instrument", LATENCIES, starves=True), instrument.send_lag),
    (Threat("achieved_rate", "requests sent at another rate than stated",
            "share", 0.05, "flatters", "instrument", _UNDER_LOAD, starves=True), instrument.achieved_rate),
    (Threat("held_back", "requests held back, less load at times than stated",
            "share", 0.05, "flatters", "instrument", _UNDER_LOAD, starves=True), instrument.held_back),
    (Threat("stood_still", "the load stood still",
            "s", 1.0, "both", "instrument", (*_UNDER_LOAD, *_RATES), starves=True), instrument.stood_still),
    (Threat("user_idle", "users idle, less load than stated",
            "share", 0.05, "flatters", "instrument", _UNDER_LOAD, starves=True), instrument.idle_share),
    (Threat("user_idle_rate", "users idle, less asked for than stated",
            "share", 0.05, "harms", "instrument", _RATES, starves=True), instrument.idle_share),
    (Threat("foreign_cpu", "other work on the machine",
            "share", 0.10, "harms", "noise", (*LATENCIES, *_RATES)), instrument.foreign_cpu),
    (Threat("cut_requests", "requests cut short by us",
            "share", 0.01, "harms", "instrument", (*LATENCIES, "error_rate")), instrument.cut_short),
    (Threat("coalesced_reads", "several segments under one stamp",
            "share", 0.01, "both", "instrument", ("itl",), starves=True), instrument.coalesced),
    (Threat("clock_step", "the kernel's clock was set",
            "s", 0.001, "both", "instrument", LATENCIES), instrument.clock_step),
    (Threat("stamps", "stamps taken by the program",
            "share", 0.0, "harms", "instrument", LATENCIES, informs=True), instrument.user_stamps),
    (Threat("calibration_ttft_p99", "the instrument's own error, before the load",
            "s", LIMIT_S, "both", "instrument", LATENCIES, starves=True), calibration.before),
    (Threat("calibration_beside", "the instrument's own error, beside the load",
            "s", LIMIT_S, "both", "instrument", LATENCIES, starves=True), calibration.beside),
    (Threat("calibration_beside_ttft", "the instrument's own error of a first token, beside the load",
            "share", LIMIT_SHARE, "both", "instrument", _TO_TOKENS, starves=True),
     calibration.beside_first_token),
    (Threat("sampler_rate", "samples too far apart",
            "per second", LEAST_HZ, "flatters", "instrument", ("memory", "cpu"), least=True, starves=True),
     instrument.sampler),
    (Threat("sampler_cost", "the sampler took processor time",
            "cores", 0.02, "harms", "instrument", (*LATENCIES, *_RATES), informs=True),
     instrument.sampler_cost),
    (Threat("imbalance", "more requests came than went, or fewer",
            "share", 0.02, "both", "workload", (*LATENCIES, *_RATES)), flow.imbalance),
    (Threat("unsteady", "the window never became steady",
            "share", 0.45, "both", "workload", (*LATENCIES, *_RATES)), flow.unsteady),
    (Threat("reconnected", "connections that the server had closed",
            "share", 0.05, "harms", "server", LATENCIES), instrument.reconnected),
    (Threat("output_length", "answers not as long as asked",
            "share", 0.01, "flatters", "server", (*LATENCIES, "throughput_requests")), tokens.output_length),
    (Threat("cached_share", "prompts answered from a cache",
            "share", 0.10, "flatters", "workload", (*_TO_TOKENS, *_RATES)), tokens.cached),
    (Threat("request_cap", "requests ran out before the time",
            "count", 0.0, "both", "workload", (*LATENCIES, *_RATES)), tokens.request_cap),
    (Threat("token_source", "tokens not counted by the server",
            "share", 0.0, "both", "server", _PER_TOKEN, required=True, informs=True), tokens.usage_missing),
    (Threat("deltas_above_usage", "more pieces of text than tokens",
            "share", 0.0, "both", "server", _PER_TOKEN), tokens.deltas_above_usage),
    (Threat("output_counter", "output tokens unlike the server's counter",
            "count", 0.0, "both", "server", _PER_TOKEN), tokens.output_counter),
    (Threat("prompt_counter", "prompt tokens unlike the server's counter",
            "count", 0.0, "both", "server", _TO_TOKENS), tokens.prompt_counter),
    (Threat("request_counter", "answers unlike the server's counter",
            "count", 0.0, "both", "server", (*LATENCIES, *_RATES, "error_rate")), tokens.request_counter),
)
# fmt: on


def entries(measured: Measured) -> list[Entry]:
    """Returns the ledger: every threat that this load can have, with what was measured.

    Where other work crowds the machine, an instrument that came too late is that work's noise.
    """
    found = [(threat, measure(measured)) for threat, measure in _THREATS]
    ledger = [threat.entry(*result) for threat, result in found if result is not None]
    crowded = any(each.threat.id == "foreign_cpu" and each.state == "broken" for each in ledger)
    return [each.as_noise() if crowded and each.threat.starves else each for each in ledger]
