"""Holm's step-down levels."""

from hxbench.stats.multiplicity import holm_levels


def rejected(p_values: list[float], alpha: float = 0.05) -> list[bool]:
    return [p < level for p, level in zip(p_values, holm_levels(p_values, alpha), strict=True)]


def test_levels_grow_from_the_smallest_p_value_until_one_holds() -> None:
    assert [0.05 / 3, 0.025, 0.025, 0.0125] == holm_levels([0.01, 0.04, 0.03, 0.005], 0.05)


def test_a_later_one_is_not_rejected_once_an_earlier_one_was_not() -> None:
    assert [False, False, False] == rejected([0.02, 0.03, 0.04])


def test_a_p_value_at_its_level_is_not_rejected() -> None:
    assert [0.025, 0.025] == holm_levels([0.025, 0.03], 0.05)


def test_all_small_ones_are_rejected() -> None:
    assert [True, True, True] == rejected([0.04, 0.001, 0.02])


def test_one_test_has_all_of_alpha() -> None:
    assert [0.05] == holm_levels([0.9], 0.05)


def test_no_test_has_no_level() -> None:
    assert [] == holm_levels([], 0.05)
