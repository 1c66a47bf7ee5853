"""Several tests at once."""

from collections.abc import Sequence


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """Returns for each test the level its p-value must stay below, so that all together err with `alpha`.

    Holm 1979: the smallest p-value is held against alpha / m, the next against alpha / (m - 1), until one
    is not below; that one's level holds for all that come after it.
    """
    levels = [alpha] * len(p_values)
    level, stopped = alpha, False
    for position, test in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if not stopped:
            level = alpha / (len(p_values) - position)
            stopped = p_values[test] >= level
        levels[test] = level
    return levels
