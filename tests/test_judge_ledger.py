"""The validity ledger: each entry in both states, and what a broken one takes away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from records_by_hand import SECOND, changed, frame, records

from hxbench.judge import threats
from hxbench.judge.ledger import Entry, Threat, applied
from hxbench.judge.measured import Measured
from hxbench.judge.verdicts import Verdict
from hxbench.plan.objectives import METRICS
from hxbench.records.run_directory import Records


def entry(run: Records, name: str) -> Entry:
    [found] = [each for each in threats.entries(Measured(run)) if each.threat.id == name]
    return found


def names(run: Records) -> list[str]:
    return [each.threat.id for each in threats.entries(Measured(run))]


def test_a_good_run_breaks_nothing() -> None:
    for loop in ("closed", "open"):
        assert {"ok"} == {each.state for each in threats.entries(Measured(records(loop=loop)))}


def test_what_a_threat_touches_are_metrics() -> None:
    for each in threats.entries(Measured(records())):
        assert set(each.threat.touches) <= set(METRICS)


def test_each_kind_of_load_has_its_own_threats() -> None:
    by_time = records(profile={"load.requests": None, "load.measure": "60 s"})
    assert {"user_idle", "user_idle_rate"} == set(names(records())) - set(names(records(loop="open")))
    assert {"send_lag", "achieved_rate", "held_back"} == set(names(records(loop="open"))) - set(
        names(records())
    )
    assert {"request_cap"} == set(names(by_time)) - set(names(records()))


@pytest.mark.parametrize(("late_ms", "state"), [(10, "ok"), (11, "broken")])
def test_send_lag_in_open_loop(late_ms: int, state: str) -> None:
    run = records(loop="open")
    late = run.requests["due_ns"] + late_ms * SECOND // 1000
    found = entry(changed(run, "requests", dispatched_ns=late), "send_lag")
    assert (state, late_ms / 1e3) == (found.state, found.value)
    assert found.detail == f"p99 from due to dispatched is {late_ms} ms"


def test_with_a_cap_the_ledger_says_that_the_wait_for_a_place_is_not_in_the_lag() -> None:
    found = entry(records(loop="open", profile={"load.max_in_flight": 100}), "send_lag")
    assert ("ok", "p99 from due, with a place free, to dispatched is 0 s") == (found.state, found.detail)


@pytest.mark.parametrize(("late", "share", "state"), [(1, 0.0, "ok"), (6, 0.05, "ok"), (7, 0.06, "broken")])
def test_the_rate_of_an_open_loop_that_is_not_reached(late: int, share: float, state: str) -> None:
    run = records(requests=100, warmup=0, loop="open")
    end_ns = int(run.phases["end_ns"].max())
    sent = run.requests["dispatched_ns"].where(run.requests.index < 100 - late, end_ns)
    found = entry(changed(run, "requests", dispatched_ns=sent), "achieved_rate")
    assert (share, state) == (found.value, found.state)
    assert f"{100 - late} requests were sent in the time in which 100 were due" == found.detail
    assert (found.voids("PASS"), found.voids("FAIL")) == (state == "broken", False)


def test_a_backlog_from_the_warm_up_is_another_rate_too() -> None:
    run = records(requests=20, warmup=20, loop="open")
    start_ns = int(run.phases.set_index("phase").loc["measure", "start_ns"])
    found = entry(
        changed(run, "requests", dispatched_ns=run.requests["dispatched_ns"].clip(lower=start_ns)),
        "achieved_rate",
    )
    assert (0.95, "broken") == (found.value, found.state)


def test_where_nothing_was_due_the_rate_is_unknown() -> None:
    run = records(loop="open")
    found = entry(changed(run, "phases", end_ns=run.phases["start_ns"]), "achieved_rate")
    assert (None, "unknown") == (found.value, found.state)


@pytest.mark.parametrize(("rest_s", "share", "state"), [(2.3, 0.05, "ok"), (2.7, 0.06, "broken")])
def test_a_load_that_stood_still_and_then_caught_up_is_not_the_one_that_was_asked_for(
    rest_s: float, share: float, state: str
) -> None:
    # two requests a second for 50 s: those due within the rest, every half a second, go out at its end
    run = records(requests=100, warmup=0, loop="open")
    due_ns = run.requests["due_ns"]
    begin_ns = int(due_ns.iloc[10])
    late_ns = due_ns.clip(lower=begin_ns + round(rest_s * SECOND))
    found = entry(
        changed(run, "requests", dispatched_ns=due_ns.where(due_ns < begin_ns, late_ns)), "held_back"
    )
    assert (share, state) == (found.value, found.state)
    assert (
        f"{share:.0%}".replace("%", " %") + " of the requests went out 100 ms or more too late"
        == found.detail
    )
    assert (found.voids("PASS"), found.voids("FAIL")) == (state == "broken", False)


@pytest.mark.parametrize(("late_ms", "share"), [(99, 0.0), (100, 1.0)])
def test_a_tenth_of_a_second_is_what_makes_a_request_held_back(late_ms: int, share: float) -> None:
    run = records(requests=100, warmup=0, loop="open")
    sent_ns = run.requests["due_ns"] + late_ms * SECOND // 1000
    assert share == entry(changed(run, "requests", dispatched_ns=sent_ns), "held_back").value


def test_what_was_never_sent_was_not_held_back() -> None:
    run = records(loop="open")
    found = entry(changed(run, "requests", dispatched_ns=None), "held_back")
    assert (None, "unknown") == (found.value, found.state)


@pytest.mark.parametrize("loop", ["open", "closed"])
@pytest.mark.parametrize(("stopped_s", "state"), [(0.9, "ok"), (1.1, "broken")])
def test_one_stop_of_the_generator_in_a_long_run_is_enough(loop: str, stopped_s: float, state: str) -> None:
    run = records(requests=500, warmup=0, loop=loop)
    stamps = {}
    for name in ("dispatched_ns", "done_ns"):
        later = (run.requests.index >= 200) if loop == "closed" else (run.requests.index == 200)
        stamps[name] = run.requests[name] + later * round(stopped_s * SECOND)
    found = entry(changed(run, "requests", **stamps), "stood_still")
    assert (state, stopped_s) == (found.state, pytest.approx(found.value, abs=0.002))
    assert (state == "broken", state == "broken") == (found.voids("PASS"), found.voids("FAIL"))


@pytest.mark.parametrize(("pause_ms", "state"), [(20, "ok"), (23, "broken")])
def test_idle_users_in_closed_loop(pause_ms: int, state: str) -> None:
    # each answer takes 410 ms: idle 20 of 430 ms is 4.7 %, 23 of 433 ms is 5.3 %
    run = records(requests=100, warmup=0, ttft_s=0.1, gap_s=0.01)
    shift = np.arange(100) * (pause_ms - 1) * SECOND // 1000
    stamps = {name: run.requests[name] + shift for name in ("dispatched_ns", "done_ns")}
    found = entry(changed(run, "requests", **stamps), "user_idle")
    assert state == found.state
    assert found.value == pytest.approx(99 * pause_ms / (99 * pause_ms + 100 * 410))
    assert found.detail.endswith(f"p99 to the next request is {pause_ms} ms")


def test_idle_users_are_unknown_with_one_request_each() -> None:
    assert entry(records(requests=2, users=4), "user_idle").state == "unknown"


def test_answers_that_took_no_time_leave_idleness_unknown() -> None:
    assert entry(records(requests=5, warmup=0, tokens=1, ttft_s=0), "user_idle").state == "unknown"


def busy(run: Records, cores: float, name: str = "cpu_busy_seconds") -> Records:
    """The same run with the host `cores` busier than it was."""
    series = run.series
    more = cores * (series["time_ns"] - series["time_ns"].min()) / SECOND
    return replace(run, series=series.assign(value=series["value"] + more.where(series["name"] == name, 0)))


@pytest.mark.parametrize(("cores", "state"), [(0.17, "ok"), (0.19, "broken")])
def test_foreign_cpu(cores: float, state: str) -> None:
    # of two cores: 0.02 of others already, so 0.19 / 2 and 0.21 / 2
    found = entry(busy(records(trials=3), cores), "foreign_cpu")
    assert (state, "noise") == (found.state, found.threat.kind)
    assert found.value == pytest.approx((cores + 0.02) / 2)


def test_foreign_cpu_is_never_below_nothing() -> None:
    assert entry(busy(records(), -0.5), "foreign_cpu").value == 0.0


@pytest.mark.parametrize(("cores", "kind"), [(0.17, "instrument"), (0.19, "noise")])
def test_a_late_instrument_is_noise_where_other_work_crowds_the_machine(cores: float, kind: str) -> None:
    run = changed(busy(records(), cores), "reads", segments=2, deltas=2)
    assert ("broken", kind) == (
        entry(run, "coalesced_reads").state,
        entry(run, "coalesced_reads").threat.kind,
    )
    assert entry(run, "cut_requests").threat.kind == "instrument"


def only(run: Records, unwanted: str) -> Records:
    return replace(run, series=run.series[run.series["source"] != unwanted])


def test_foreign_cpu_of_a_remote_server_is_all_but_the_client() -> None:
    found = entry(only(records(), "process"), "foreign_cpu")
    assert found.value == pytest.approx(0.92 / 2)


@pytest.mark.parametrize("unwanted", ["host", "client"])
def test_foreign_cpu_is_unknown_without_samples(unwanted: str) -> None:
    assert entry(only(records(), unwanted), "foreign_cpu").state == "unknown"


def test_foreign_cpu_is_unknown_without_the_number_of_cores_or_with_one_sample() -> None:
    run = records()
    assert entry(replace(run, facts={}), "foreign_cpu").state == "unknown"
    one = run.series.drop_duplicates(["source", "name"])
    assert entry(replace(run, series=one), "foreign_cpu").state == "unknown"


def with_outcomes(outcomes: Sequence[str]) -> Records:
    run = records(requests=len(outcomes), warmup=0)
    return changed(run, "requests", outcome=outcomes)


@pytest.mark.parametrize(("cut", "state"), [(1, "ok"), (2, "broken")])
def test_cut_requests(cut: int, state: str) -> None:
    found = entry(with_outcomes(["cancelled"] * cut + ["ok"] * (100 - cut)), "cut_requests")
    assert (state, cut / 100) == (found.state, found.value)
    assert found.detail == f"{cut} of 100 requests were cut or never came back; they count as failed"


def test_requests_that_never_came_back_are_cut() -> None:
    run = records(requests=10)
    assert entry(replace(run, requests=run.requests.iloc[:-3]), "cut_requests").value == 0.3


@pytest.mark.parametrize(("lengths", "state"), [([27, 33], "ok"), ([26], "broken"), ([34], "broken")])
def test_output_length(lengths: list[int], state: str) -> None:
    run = records(requests=90, warmup=0, tokens=30)
    tokens = lengths + [30] * (90 - len(lengths))
    assert state == entry(changed(run, "requests", output_tokens=tokens), "output_length").state


def test_output_length_is_unknown_when_the_model_may_stop() -> None:
    run = records(profile={"target.extra_body": {}})
    found = entry(changed(run, "requests", output_tokens=3), "output_length")
    assert ("unknown", None) == (found.state, found.value)


@pytest.mark.parametrize(("cached", "state"), [(4, "ok"), (5, "broken")])
def test_cached_share(cached: int, state: str) -> None:
    found = entry(changed(records(), "requests", cached_tokens=cached), "cached_share")
    assert (state, cached / 40) == (found.state, found.value)


@pytest.mark.parametrize(("cached", "state"), [(24, "ok"), (25, "broken")])
def test_what_prompts_share_by_plan_may_come_from_a_cache(cached: int, state: str) -> None:
    run = records()
    run = replace(run, facts={**run.facts, "prompts": {"tokens": 400, "shared_tokens": 200}})
    found = entry(changed(run, "requests", cached_tokens=cached), "cached_share")
    assert (state, pytest.approx((cached - 20) / 40)) == (found.state, found.value)
    assert found.detail.endswith("; prompts share 50 % by plan")
    assert 0 == entry(changed(run, "requests", cached_tokens=4), "cached_share").value


def test_a_token_with_the_end_of_its_stream_behind_it_hides_no_gap() -> None:
    assert "ok" == entry(changed(records(), "reads", segments=5, deltas=1), "coalesced_reads").state


@pytest.mark.parametrize(("joined", "state"), [(1, "ok"), (2, "broken")])
def test_coalesced_reads(joined: int, state: str) -> None:
    run = records(requests=100, warmup=0, tokens=1)
    found = entry(
        changed(run, "reads", segments=[2] * joined + [1] * (100 - joined), deltas=2), "coalesced_reads"
    )
    assert (state, joined / 100) == (found.state, found.value)


def test_stamps_by_the_program_are_shown_and_prove_nothing() -> None:
    found = entry(changed(records(), "requests", stamp="user"), "stamps")
    assert ("unknown", 1.0, False) == (found.state, found.value, found.spoils)


@pytest.mark.parametrize(("lost", "rate", "state"), [(11, 9.09, "ok"), (9, 8.89, "broken"), (2, 5, "broken")])
def test_sampler_rate(lost: int, rate: float, state: str) -> None:
    """Of ten a second one in so many is lost; nine are needed."""
    run = records()
    times = np.sort(run.series["time_ns"].unique())
    kept = replace(
        run, series=run.series[run.series["time_ns"].isin(times[np.arange(times.size) % lost > 0])]
    )
    found = entry(kept, "sampler_rate")
    assert (state, pytest.approx(rate, rel=0.01)) == (found.state, found.value)


@pytest.mark.parametrize(("cores", "state"), [(0.014, "ok"), (0.016, "unknown")])
def test_sampler_cost_is_shown_and_takes_nothing_away(cores: float, state: str) -> None:
    found = entry(busy(records(), cores, "sampler_cpu_seconds"), "sampler_cost")
    assert (state, 0.005 + cores) == (found.state, pytest.approx(found.value))
    assert not found.spoils


def test_sampler_cost_of_a_run_that_did_not_record_it_is_unknown() -> None:
    run = records()
    without = replace(run, series=run.series[run.series["name"] != "sampler_cpu_seconds"])
    found = entry(without, "sampler_cost")
    assert ("unknown", "the sampler's processor time was not recorded") == (found.state, found.detail)


@pytest.mark.parametrize(("left_over", "state"), [(1, "ok"), (0, "broken")])
def test_requests_that_ran_out_before_the_time_did(left_over: int, state: str) -> None:
    run = records(requests=20, warmup=0, profile={"load.requests": None, "load.measure": "60 s"})
    spare = run.requests["request_id"].isin(list(run.requests["request_id"])[20 - left_over :])
    outcomes = run.requests["outcome"].mask(spare, "cancelled")
    run = changed(run, "requests", outcome=outcomes, dispatched_ns=run.requests["dispatched_ns"].mask(spare))
    assert state == entry(run, "request_cap").state


@pytest.mark.parametrize(("turn", "state"), [(1, "ok"), (0, "broken")])
def test_what_a_later_turn_finds_of_its_own_conversation_in_a_cache_is_no_fault(
    turn: int, state: str
) -> None:
    run = records(requests=20, warmup=0)
    cached = [30 if number % 2 else 0 for number in range(20)]
    turns = [turn if number % 2 else 0 for number in range(20)]
    run = changed(changed(run, "requests", cached_tokens=cached), "schedule", turn=turns)
    assert state == entry(run, "cached_share").state


@pytest.mark.parametrize(("untaken", "state"), [(1, "ok"), (0, "broken")])
def test_conversations_have_run_out_when_all_were_begun(untaken: int, state: str) -> None:
    run = records(requests=20, warmup=0, profile={"load.requests": None, "load.measure": "60 s"})
    run = changed(run, "schedule", turn=[number % 4 for number in range(20)])
    spare = run.requests.index >= (16 if untaken else 18)
    outcomes, sent = (
        run.requests["outcome"].mask(spare, "cancelled"),
        run.requests["dispatched_ns"].mask(spare),
    )
    assert state == entry(changed(run, "requests", outcome=outcomes, dispatched_ns=sent), "request_cap").state


def test_tokens_that_the_server_did_not_count_are_unknown_and_that_matters() -> None:
    found = entry(changed(records(), "requests", token_source="deltas"), "token_source")
    assert ("unknown", 1.0, True) == (found.state, found.value, found.spoils)


@pytest.mark.parametrize(("pieces", "state"), [(32, "ok"), (33, "broken")])
def test_more_pieces_than_tokens(pieces: int, state: str) -> None:
    assert state == entry(changed(records(), "requests", deltas=pieces), "deltas_above_usage").state


@pytest.mark.parametrize("name", ["output_counter", "prompt_counter"])
@pytest.mark.parametrize(("off", "state"), [(0, "ok"), (1, "broken"), (-1, "broken")])
def test_the_servers_counters(name: str, off: int, state: str) -> None:
    run = records(trials=3)
    counter = (
        "llamacpp:tokens_predicted_total" if name == "output_counter" else "llamacpp:prompt_tokens_total"
    )
    series = run.series
    mine = (series["name"] == counter) & (series["trial"] == 2) & (series["value"] > 0)
    found = entry(changed(run, "series", value=series["value"].mask(mine, series["value"] + off)), name)
    assert (state, abs(off)) == (found.state, found.value)


def test_the_counters_say_what_each_side_counted() -> None:
    found = entry(records(requests=10, warmup=2), "output_counter")
    assert found.detail == "the server counted 384, the answers add up to 384"


def test_a_request_that_ended_badly_widens_what_the_server_may_have_counted() -> None:
    run = records(requests=10, warmup=0, failed=[4])
    rows = run.series[run.series["name"] == "llamacpp:tokens_predicted_total"].index
    for more, state in ((0, "ok"), (32, "ok"), (33, "broken")):
        last = run.series["value"].where(run.series.index != rows[-1], run.series["value"] + more)
        assert state == entry(changed(run, "series", value=last), "output_counter").state
    last = run.series["value"].where(run.series.index != rows[-1], run.series["value"] + 5)
    assert entry(changed(run, "series", value=last), "output_counter").detail == (
        "the server counted 293, the answers add up to 288 to 320"
    )


def test_what_was_never_sent_widens_nothing_and_what_was_cut_does() -> None:
    run = changed(
        records(requests=10, warmup=0, failed=[4]),
        "requests",
        outcome=["ok"] * 4 + ["cancelled"] + ["ok"] * 5,
    )
    assert entry(run, "output_counter").detail.endswith("the answers add up to 288 to 320")
    never_sent = changed(
        run, "requests", dispatched_ns=run.requests["dispatched_ns"].mask(run.requests.index == 4)
    )
    assert entry(never_sent, "output_counter").detail.endswith("the answers add up to 288")


def test_a_bad_end_without_a_limit_on_tokens_may_have_cost_anything() -> None:
    run = records(requests=10, warmup=0, failed=[4])
    rows = run.series[run.series["name"] == "llamacpp:tokens_predicted_total"].index
    last = run.series["value"].where(run.series.index != rows[-1], run.series["value"] + 10**6)
    run = changed(changed(run, "series", value=last), "schedule", max_tokens=None)
    assert entry(run, "output_counter").state == "ok"


def test_counters_are_unknown_without_scrapes_or_without_usage() -> None:
    assert entry(only(records(), "scrape"), "output_counter").state == "unknown"
    no_usage = changed(records(), "requests", token_source="deltas")
    assert entry(no_usage, "output_counter").detail == "not every good answer states its usage"
    run = records()
    first = run.series.drop_duplicates(["source", "name"])
    assert entry(replace(run, series=first), "prompt_counter").state == "unknown"


def test_other_servers_have_other_counters() -> None:
    run = records(requests=10, warmup=0)
    times = [0, run.series["time_ns"].max()]
    columns = {"time_ns": times, "trial": 1, "source": "scrape", "labels": "{}", "value": [100.0, 420.0]}
    vllm = frame("series", columns | {"name": "vllm:generation_tokens_total"})
    series = pd.concat([only(run, "scrape").series, vllm], ignore_index=True)
    assert entry(replace(run, series=series), "output_counter").state == "ok"


@pytest.mark.parametrize(("step_us", "state"), [(1000, "ok"), (1001, "broken")])
def test_a_clock_that_is_set_during_the_run(step_us: int, state: str) -> None:
    run = records(requests=20)
    later = run.clock.index >= len(run.clock) // 2
    realtime = run.clock["realtime_ns"] - later * step_us * 1000
    found = entry(changed(run, "clock", realtime_ns=realtime), "clock_step")
    assert (state, step_us / 1e6) == (found.state, found.value)


def test_what_the_clock_does_between_two_trials_matters_to_none() -> None:
    run = records(requests=20, trials=3)
    later = run.clock["monotonic_ns"] >= int(run.phases.loc[run.phases["trial"] == 2, "start_ns"].min())
    realtime = run.clock["realtime_ns"] + later * SECOND
    assert 0.0 == entry(changed(run, "clock", realtime_ns=realtime), "clock_step").value


@pytest.mark.parametrize(("again", "state"), [(5, "ok"), (6, "broken")])
def test_connections_found_dead(again: int, state: str) -> None:
    attempts = [2] * again + [1] * (100 - again)
    found = entry(changed(records(requests=100, warmup=0), "requests", attempt=attempts), "reconnected")
    assert (state, again / 100) == (found.state, found.value)
    assert (False, state == "broken") == (found.voids("PASS"), found.voids("FAIL"))


def growing(longer_s: float) -> Records:
    """Two requests a second, each staying `longer_s` longer than the one before it."""
    gap_s = (0.1 + longer_s * np.arange(200)) / 31
    return records(requests=200, warmup=0, loop="open", ttft_s=0.1, gap_s=gap_s)


@pytest.mark.parametrize(
    ("longer_s", "state"), [(0.0, "ok"), (0.01, "ok"), (0.03, "broken"), (0.3, "broken")]
)
def test_a_queue_that_grows_breaks_littles_law(longer_s: float, state: str) -> None:
    found = entry(growing(longer_s), "imbalance")
    assert (state, state == "broken") == (found.state, found.voids("PASS"))


def drifting(times: float, requests: int = 400, **more: Any) -> Records:
    """Answers that take in the end `times` as long as in the beginning."""
    gap_s = np.linspace(0.01, times * 0.01, requests) * np.random.default_rng(1).lognormal(0, 0.05, requests)
    return records(requests=requests, warmup=0, gap_s=gap_s, **more)


@pytest.mark.parametrize(("times", "state"), [(1, "ok"), (3, "broken")])
def test_a_window_that_never_becomes_steady(times: float, state: str) -> None:
    found = entry(drifting(times), "unsteady")
    assert (state, state == "broken") == (found.state, found.voids("PASS"))
    assert found.value is not None
    assert (
        found.detail
        == f"the window is steadiest without the first {found.value:.0%} of its requests".replace("%", " %")
    )


def test_too_few_requests_a_trial_do_not_tell_whether_they_are_steady() -> None:
    assert ["unknown", "broken"] == [entry(drifting(3, n), "unsteady").state for n in (199, 200)]


def test_stages_are_not_meant_to_be_steady() -> None:
    stages = [{"name": name, "rate": rate, "duration": "9 s"} for name, rate in (("a", 2), ("b", 4))]
    load = {"load.rate": None, "load.requests": None, "load.stages": stages}
    assert "unsteady" not in names(records(loop="open", profile=load))


def test_users_who_all_begin_at_once_are_no_growing_queue() -> None:
    assert "ok" == entry(records(requests=64, warmup=0, users=32, ttft_s=1.0, gap_s=0.0), "imbalance").state


def counting(run: Records, answered: float) -> Records:
    """The same run on a server that counts its answers by the reason of their end, half of them each."""
    times = np.unique(run.series.loc[run.series["source"] == "scrape", "time_ns"])
    values = np.where(times < times.max(), 7.0, 7.0 + answered / 2)
    columns = {"time_ns": times, "trial": 1, "source": "scrape", "value": values}
    counters = [
        frame("series", columns | {"name": "vllm:request_success_total", "labels": reason})
        for reason in ("length", "stop")
    ]
    return replace(run, series=pd.concat([run.series, *counters], ignore_index=True))


@pytest.mark.parametrize(
    ("counted", "outside", "state"),
    [(11, 0.0, "ok"), (12, 0.0, "ok"), (13, 1.0, "broken"), (10, 1.0, "broken")],
)
def test_the_servers_counter_of_answers(counted: int, outside: float, state: str) -> None:
    # twelve sent, of which one did not end well for the client
    found = entry(counting(records(requests=10, warmup=2, failed=[4]), counted), "request_counter")
    assert (outside, state) == (found.value, found.state)
    assert f"the server counted {counted} requests, the client 11 to 12" == found.detail


def test_a_server_that_counts_no_requests_cannot_be_compared() -> None:
    assert "request_counter" not in names(records())


def test_a_run_without_requests_has_a_ledger_of_unknowns() -> None:
    run = records(requests=4, warmup=0, profile={"load.requests": None, "load.measure": "9 s"})
    empty = {
        name: getattr(run, name).iloc[:0]
        for name in ("schedule", "requests", "reads", "series", "phases", "clock")
    }
    assert {"unknown"} == {
        each.state for each in threats.entries(Measured(replace(run, calibration={}, **empty)))
    }


def threat(direction: Any, kind: Any = "server", **more: Any) -> Threat:
    return Threat("it", "something is wrong", "share", 0.5, direction, kind, ("ttft",), **more)


def verdict(result: str) -> Verdict:
    return Verdict("ttft.p95", "TC", "R", result, "3 of 9", "m", (), metric="ttft", estimate=0.3)


VOIDED = {"flatters": ("PASS",), "harms": ("FAIL",), "both": ("PASS", "FAIL")}


@pytest.mark.parametrize("direction", VOIDED)
@pytest.mark.parametrize("result", ["PASS", "FAIL", "INCONCLUSIVE", "SKIPPED"])
def test_a_broken_entry_voids_the_verdicts_it_favours(direction: str, result: str) -> None:
    broken = threat(direction).entry(0.6, "0.6 of it")
    after = applied(verdict(result), [broken], {"ttft"})
    voided = result in VOIDED[direction]
    assert ("INCONCLUSIVE" if voided else result) == after.verdict
    assert ("it",) == after.ledger


def test_a_voided_verdict_keeps_its_numbers_and_says_what_it_would_have_been() -> None:
    after = applied(verdict("PASS"), [threat("flatters").entry(0.6, "0.6 of it")], {"ttft"})
    assert after.estimate == 0.3
    assert after.reason == "would be PASS (3 of 9), but something is wrong: 0.6 of it"


def test_only_noise_makes_a_verdict_noise() -> None:
    noise = threat("harms", "noise").entry(0.6, "")
    other = threat("harms", "server").entry(0.6, "")
    assert applied(verdict("FAIL"), [noise], {"ttft"}).noise
    assert not applied(verdict("FAIL"), [noise, other], {"ttft"}).noise
    assert not applied(verdict("PASS"), [noise], {"ttft"}).noise


def test_an_entry_touches_only_its_metrics() -> None:
    after = applied(verdict("PASS"), [threat("both").entry(0.6, "")], {"memory"})
    assert ("PASS", ()) == (after.verdict, after.ledger)


@pytest.mark.parametrize(
    ("value", "least", "state"),
    [
        (0.5, False, "ok"),
        (0.51, False, "broken"),
        (0.5, True, "ok"),
        (0.49, True, "broken"),
        (None, True, "unknown"),
    ],
)
def test_the_limit_itself_is_within(value: float, least: bool, state: str) -> None:
    assert state == threat("both", least=least).entry(value, "").state


def test_unknown_voids_only_where_it_is_required() -> None:
    assert applied(verdict("PASS"), [threat("both").entry(None, "")], {"ttft"}).verdict == "PASS"
    required = threat("both", required=True).entry(None, "nobody knows")
    assert applied(verdict("PASS"), [required], {"ttft"}).verdict == "INCONCLUSIVE"


def test_an_entry_as_json_has_the_agreed_keys() -> None:
    shown = threat("both").entry(0.6, "so").as_dict()
    assert {
        "id": "it", "threat": "something is wrong", "value": 0.6, "unit": "share", "limit": 0.5,
        "direction": "both", "kind": "server", "state": "broken", "required": False, "detail": "so",
        "touches": ["ttft"],
    } == shown  # fmt: skip


def before(*errors_s: float, **more: Any) -> Records:
    """A run whose calibration before the load showed these errors of ttft."""
    run = records()
    (good, *_) = run.calibration["before"]["tries"]
    tries = [{**good, "ttft_p99_s": error_s} for error_s in errors_s]
    return replace(run, calibration={**run.calibration, "before": {"tries": tries, **more}})


def beside(*rows: Mapping[str, Any], **more: Any) -> Records:
    """A run of so many trials, with what the slow stream beside each of them showed otherwise than well."""
    run = records(**more)
    (good,) = run.calibration["beside"]
    return replace(run, calibration={**run.calibration, "beside": [{**good, **row} for row in rows]})


@pytest.mark.parametrize(
    ("errors_s", "state"),
    [((0.9, 0.001, 5e-5), "ok"), ((5e-5, 0.0011, 0.9), "broken"), ((0.0011,), "broken")],
)
def test_the_error_before_the_load_is_that_of_the_median_try(errors_s: tuple[float, ...], state: str) -> None:
    found = entry(before(*errors_s), "calibration_ttft_p99")
    assert (state, sorted(errors_s)[len(errors_s) // 2]) == (found.state, found.value)


def test_every_try_before_the_load_is_told() -> None:
    assert (
        "p99 error of 200 ttft 1 ms, of 1400 itl 4 µs, of 200 arrival 300 µs (short streams before the load, "
        "the median of 3 tries: 900 ms, 50 µs, 1 ms)"
    ) == entry(before(0.9, 5e-5, 0.001), "calibration_ttft_p99").detail


@pytest.mark.parametrize(("error_s", "state"), [(0.001, "ok"), (0.0011, "broken")])
def test_an_older_run_kept_the_best_try_alone(error_s: float, state: str) -> None:
    run = records()
    (row, *_) = run.calibration["before"]["tries"]
    old = {"before": {**row, "attempts": 3, "ttft_p99_s": error_s}, "beside": run.calibration["beside"]}
    found = entry(replace(run, calibration=old), "calibration_ttft_p99")
    assert (state, error_s) == (found.state, found.value)
    assert found.detail.endswith("(short streams before the load, the best of 3, the others were not kept)")


def test_a_try_that_did_not_come_to_its_end_leaves_the_error_unknown() -> None:
    found = entry(before(5e-5, 5e-5, error="it broke"), "calibration_ttft_p99")
    assert ("unknown", "it broke") == (found.state, found.detail)


@pytest.mark.parametrize(("error_s", "state"), [(0.001, "ok"), (0.0011, "broken")])
def test_the_error_beside_the_load_is_that_of_the_worst_trial(error_s: float, state: str) -> None:
    found = entry(beside({}, {"itl_p99_s": error_s}, {}), "calibration_beside")
    assert (state, error_s) == (found.state, found.value)


TIGHT = {"ttft": {"p95": "200 ms"}, "e2e": {"p95": "5 s"}, "itl": {"p95": "1 ms"}}


@pytest.mark.parametrize(("error_s", "state"), [(0.002, "ok"), (0.0021, "broken")])
def test_the_error_of_a_first_token_is_held_against_the_tightest_limit(error_s: float, state: str) -> None:
    run = beside({}, {"ttft_p99_s": error_s}, {}, profile={"objectives": TIGHT})
    found = entry(run, "calibration_beside_ttft")
    assert (state, pytest.approx(error_s / 0.2)) == (found.state, found.value)
    assert found.detail.endswith(", the tightest limit 200 ms")
    assert "itl" not in found.threat.touches


def test_without_a_limit_the_error_of_a_first_token_is_held_against_the_median() -> None:
    run = beside({"ttft_p99_s": 0.0009})
    found = entry(run, "calibration_beside_ttft")
    median_s = float(np.quantile(Measured(run).attempted["ttft_s"], 0.5, method="inverted_cdf"))
    assert ("ok", pytest.approx(0.0009 / median_s)) == (found.state, found.value)
    assert ", the median ttft " in found.detail


@pytest.mark.parametrize(
    ("calibration", "before", "beside"),
    [
        ({}, "not calibrated: `hxbench certify` does it, `hxbench run` does not", "no stream was compared"),
        ({"before": {"error": "why"}, "beside": [{"error": "it broke"}]}, "why", "it broke"),
        ({"before": {"tries": []}, "beside": [{"error": "it broke"}]}, "no stream was", "it broke"),
        ({"before": {"ttft_p99_s": None}, "beside": [{"itl_p99_s": None}]}, "no stream was", "no stream was"),
    ],
)
def test_a_run_that_is_not_calibrated_has_an_unknown_error(
    calibration: dict[str, Any], before: str, beside: str
) -> None:
    run = replace(records(), calibration=calibration)
    names = ("calibration_ttft_p99", "calibration_beside", "calibration_beside_ttft")
    found = [entry(run, name) for name in names]
    assert ["unknown"] * 3 == [each.state for each in found]
    assert found[0].detail.startswith(before)
    assert found[1].detail.startswith(beside)
    assert found[2].detail.startswith(beside)
