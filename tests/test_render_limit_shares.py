"""A verdict's numbers as shares of its limit: beyond 1 is beyond it, whichever way the limit lies."""

import math

import pytest
from certificates_by_hand import certificate, verdict

from hxbench.render.frames import gate_rows
from hxbench.render.limit_shares import Shares, shares


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (Shares(0.5, 0.4, 0.6), ("<=", 10.0, 5.0, 4.0, 6.0)),
        (Shares(2.0, 1.0, 4.0), (">=", 40.0, 20.0, 10.0, 40.0)),
        (Shares(0.5, 0.4, math.inf), ("<", 10.0, 5.0, 4.0, None)),
        (Shares(0.5, 0.0, 0.6), ("<", 10.0, 5.0, None, 6.0)),
        (Shares(2.0, 1.0, math.inf), (">", 40.0, 20.0, None, 40.0)),
        (Shares(0.5, None, None), ("<=", 10.0, 5.0, None, None)),
        (Shares(math.inf, 1.0, math.inf), (">=", 40.0, 0.0, 0.0, 40.0)),
        (None, ("<=", None, 5.0, None, None)),
        (None, ("<=", 10.0, None, None, None)),
        (None, ("<=", 0.0, 5.0, None, None)),
    ],
)  # fmt: skip
def test_numbers_are_shares_of_their_limit(expected: Shares | None, given: tuple[object, ...]) -> None:
    comparator, limit, estimate, *interval = given
    made = {"comparator": comparator, "limit": limit, "estimate": estimate, "interval": interval}
    assert expected == shares(made)


def test_each_gate_with_a_limit_has_a_row_with_its_numbers_as_text() -> None:
    rows = gate_rows(certificate()).set_index("id")
    row = rows.loc["ttft.p95"]
    assert ["Time to first token, p95", "PASS", "128 ms", "121 to 139 ms", "≤ 500 ms"] == row[
        ["name", "verdict", "measured", "interval", "bound"]
    ].tolist()
    assert 0.256 == pytest.approx(row["estimate_share"], abs=1e-3)


def test_a_check_without_a_limit_has_no_row() -> None:
    check = verdict("x", "PASS", metric=None, limit=None)
    assert gate_rows(certificate(verdicts=[check])).empty
