"""The marks of a dashboard (R4.4): green, yellow, red. A mark is no verdict: it looks at one number.

The source gives three numbers a mark and leaves open what lies between. Here it is green up to the first, red
from the third on, and yellow between them, where the second lies; of coverage the other way round.
"""

import math
from dataclasses import dataclass

GREEN, YELLOW, RED, NOT_MEASURED = "green", "yellow", "red", "not measured"


@dataclass(frozen=True)
class Mark:
    """Three numbers in the base unit; where the first is the largest, more is better."""

    green: float
    yellow: float
    red: float
    unit: str

    def of(self, value: float | None) -> str:
        """Returns the colour of a value; of none `not measured`. Infinity is a value."""
        if value is None or math.isnan(value):
            return NOT_MEASURED
        sign = 1 if self.green < self.red else -1
        if sign * value <= sign * self.green:
            return GREEN
        return RED if sign * value >= sign * self.red else YELLOW


LATENCY = Mark(1.0, 1.5, 2.0, "s")
ERROR_RATE = Mark(0.001, 0.005, 0.010, "share")
COVERAGE = Mark(0.95, 0.90, 0.85, "share")
VULNERABILITIES = Mark(0, 1, 5, "count")
