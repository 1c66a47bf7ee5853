"""A rate over time from a file: the stages it becomes, and what is refused with file and line."""

from pathlib import Path
from typing import Any

import pytest

from hxbench.errors import ProfileError
from hxbench.plan import arrivals, series
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.load import Load

DAY = "seconds,rate\n0,2\n300,8\n360,8\n360,1.5\n\n400,0\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.csv").write_text(DAY)
    return tmp_path


def resolved(**load: Any) -> Resolved:
    given = {"target.model": "m", **{f"load.{key}": value for key, value in load.items()}}
    return resolve(None, overrides={key: (value, "--set") for key, value in given.items()})


def refused(text: str) -> str:
    Path("day.csv").write_text(text)
    with pytest.raises(ProfileError) as caught:
        series.stages("day.csv")
    return str(caught.value)


def test_the_rate_is_straight_between_lines_and_two_lines_of_one_time_are_a_jump() -> None:
    assert [
        {"name": "0s", "rate": {"from": "2 req/s", "to": "8 req/s"}, "duration": "300 s"},
        {"name": "300s", "rate": {"from": "8 req/s", "to": "8 req/s"}, "duration": "60 s"},
        {"name": "360s", "rate": {"from": "1.5 req/s", "to": "0 req/s"}, "duration": "40 s"},
    ] == series.stages("day.csv")


def test_times_count_from_the_first_line() -> None:
    Path("late.csv").write_text("seconds,rate\n1000.5,1\n1001,2\n1003,2\n")
    assert [("0s", "0.5 s"), ("0.5s", "2 s")] == [
        (each["name"], each["duration"]) for each in series.stages("late.csv")
    ]


def test_the_resolved_profile_holds_the_stages_and_names_the_file_as_their_origin() -> None:
    made = resolved(series="day.csv")
    assert (1500 + 480 + 30, 400.0, "open", "poisson") == (
        made.profile.load.expected_arrivals, made.profile.load.measured_s, made.profile.load.loop,
        made.profile.load.arrivals,
    )  # fmt: skip
    assert (None, "day.csv") == (made.document["load"]["series"], made.origins["load.stages"])
    Path("day.csv").unlink()
    document = made.document["load"]
    assert made.profile.load == Load.model_validate(document)


def test_a_series_takes_back_what_earlier_layers_chose_and_a_rate_takes_back_the_series() -> None:
    Path("x.yaml").write_text("target: {model: m}\nload: {users: 3, measure: 5 s}\n")
    Path("y.yaml").write_text("load: {series: day.csv}\n")
    assert 400.0 == resolve("x.yaml", load="y.yaml").profile.load.measured_s
    rate = resolve("y.yaml", overrides={"load.rate": (2, "--rate"), "target.model": ("m", "--set")})
    assert (None, 60.0) == (rate.profile.load.stages, rate.profile.load.measured_s)


def test_where_the_rate_is_nothing_nobody_comes() -> None:
    Path("night.csv").write_text("seconds,rate\n0,0\n10,0\n10,4\n12,4\n12,0\n20,0\n")
    load = resolved(series="night.csv", arrivals="constant", warmup="0 s").profile.load
    due = [(place.due_offset_ns or 0) / 1e9 for place in arrivals.places(load, 1, 1)]
    assert [10, 10.25, 10.5, 10.75, 11, 11.25, 11.5, 11.75] == due


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("day.csv:1: expected the header seconds,rate", ""),
        ("day.csv:1: expected the header seconds,rate", "0,1\n1,2\n"),
        ("day.csv: expected two or more lines of seconds,rate, at different times", "seconds,rate\n"),
        ("day.csv: expected two or more lines of seconds,rate, at different times", "seconds,rate\n3,1\n3,2"),
        ("day.csv:3: expected seconds,rate, got 3 values", "seconds,rate\n0,1\n1,2,3\n"),
        ("day.csv:2: rate: expected a number such as 12.5, got '-1'", "seconds,rate\n0,-1\n"),
        ("day.csv:2: rate: expected a number such as 12.5, got ' nan'", "seconds,rate\n0, nan\n"),
        ("day.csv:3: seconds: expected a number such as 12.5, got '1e3'", "seconds,rate\n0,1\n1e3,1\n"),
        ("day.csv:4: seconds: 4 comes before the line above", "seconds,rate\n0,1\n5,1\n4,1\n"),
        (
            "day.csv: holds more than 2001 lines",
            "seconds,rate\n" + "".join(f"{second},1\n" for second in range(2002)),
        ),
        ("day.csv:2: seconds: expected at most 604800, got 604801", "seconds,rate\n604801,1\n"),
        ("day.csv:3: rate: expected at most 100000, got 100000.1", "seconds,rate\n0,100000\n0,100000.1\n"),
        (
            "day.csv: is no CSV: field larger than field limit (131072)",
            f"seconds,rate\n0,{'1' * 131_073}\n",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_no_series_is_refused_with_its_line(expected: str, text: str) -> None:
    assert expected == refused(text)


def test_2001_lines_are_not_too_many() -> None:
    Path("day.csv").write_text("seconds,rate\n" + "".join(f"{second},1\n" for second in range(2001)))
    assert 2000 == len(series.stages("day.csv"))


@pytest.mark.parametrize(
    ("expected", "load"),
    [
        ("--set: load.series: no.csv: cannot be read: No such file or directory", {"series": "no.csv"}),
        ("--set: load.series: .: is no regular file, expected a CSV", {"series": "."}),
        (
            "--set: load.series: has no place beside load.stages; set one of them to null",
            {"series": "day.csv", "stages": [{"name": "a", "rate": 1, "duration": "1 s"}]},
        ),
        (
            "--set: load.rate: has no place beside load.stages, which have their own; set it to null",
            {"series": "day.csv", "rate": 1},
        ),
        (
            "day.csv: load.stages: has no place in a load with loop: closed; set it to null",
            {"series": "day.csv", "loop": "closed"},
        ),
        ("--set: load.series: expected one line of text, got 3", {"series": 3}),
    ],
)  # fmt: skip
def test_a_series_that_cannot_be_used_is_refused_where_it_was_written(
    expected: str, load: dict[str, Any]
) -> None:
    with pytest.raises(ProfileError) as caught:
        resolved(**load)
    assert expected == str(caught.value).removesuffix(" (and 1 more)")


def test_a_series_of_nothing_is_refused() -> None:
    Path("day.csv").write_text("seconds,rate\n0,0\n9,0\n")
    with pytest.raises(
        ProfileError, match=r"^day\.csv: load\.stages: no request would come: every rate is 0$"
    ):
        resolved(series="day.csv")


def test_without_its_layers_a_series_is_not_read() -> None:
    with pytest.raises(ValueError, match="is turned into stages where the profile is resolved"):
        Load.model_validate({"series": "day.csv"})
