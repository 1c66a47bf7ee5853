"""How what was decided of a limit stands in a verdict."""

import pytest
from records_by_hand import records

from hxbench.judge.judging import judged
from hxbench.judge.measured import Measured


def test_a_verdict_has_its_interval_from_the_low_end_to_the_high_one() -> None:
    # none of 400 failed: at alpha 0.025 at most 1 - 0.025^(1/400)
    [verdict] = judged(Measured(records(requests=400, profile={"objectives": {"error_rate": "5 %"}})), ())
    assert (0.0, pytest.approx(1 - 0.025 ** (1 / 400))) == verdict.interval
