import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hxbench import units


@pytest.mark.parametrize(
    ("expected", "text", "kind"),
    [
        (0.5, "500 ms", "duration"),
        (0.0123, "12.3ms", "duration"),
        (90.0, "1.5 min", "duration"),
        (3600.0, "1 h", "duration"),
        (2e-6, "2 µs", "duration"),
        (7e-9, "7 ns", "duration"),
        (0.0, "0", "duration"),
        (-2.0, "-2 s", "duration"),
        (90_000_000_000, "90 GB", "size"),
        (1_610_612_736, "1.5 GiB", "size"),
        (512, "512 B", "size"),
        (0.01, "1 %", "share"),
        (2.0, "2.0", "rate"),
        (2.0, "2 req/s", "rate"),
        (2.0, 2, "rate"),
        (40.0, "40 tok/s", "tokens_rate"),
        (8.0, "8 cores", "cores"),
        (1.0, "1 core", "cores"),
        (400, "400", "count"),
        (10.0, "10 USD", "money"),
    ],
)
def test_quantity_text_becomes_a_number_in_its_base_unit(expected, text, kind):
    assert expected == units.parse(text, kind)


def test_sizes_and_counts_are_integers():
    assert [int, int] == [type(units.parse("1.5 kB", "size")), type(units.parse("3", "count"))]


@pytest.mark.parametrize(
    ("expected", "text", "kind"),
    [
        ("expected a duration such as 500 ms, got 60", 60, "duration"),
        ("expected a duration such as 500 ms, got 5 GB", "5 GB", "duration"),
        ("expected a duration such as 500 ms, got 1e3 s", "1e3 s", "duration"),
        ("expected a duration such as 500 ms, got soon", "soon", "duration"),
        ("expected a size such as 1.5 GB, got 5 gb", "5 gb", "size"),
        ("expected whole bytes, got 0.5 B", "0.5 B", "size"),
        ("expected a whole number, got 2.5", "2.5", "count"),
        ("expected a share such as 1 %, got 0.01", 0.01, "share"),
        ("expected a rate such as 2 req/s, got nan", math.nan, "rate"),
        ("expected a rate such as 2 req/s, got 1e+22", 1e22, "rate"),
        ("expected a rate such as 2 req/s, got True", True, "rate"),
        ("expected a number of cores such as 2 cores, got ", "", "cores"),
    ],
)
def test_text_that_is_no_such_quantity_is_refused_with_an_example(expected, text, kind):
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        units.parse(text, kind)
    assert expected == str(caught.value)


@pytest.mark.parametrize(
    ("expected", "value", "kind"),
    [
        ("0.5 s", 0.5, "duration"),
        ("60 s", 60.0, "duration"),
        ("12.3 ms", 0.0123, "duration"),
        ("90 GB", 90_000_000_000, "size"),
        ("1 GiB", 2**30, "size"),
        ("1 %", 0.01, "share"),
        ("2 req/s", 2.0, "rate"),
        ("40 tok/s", 40.0, "tokens_rate"),
        ("1.5 cores", 1.5, "cores"),
        ("400", 400, "count"),
    ],
)
def test_the_exact_text_is_the_shortest(expected, value, kind):
    assert expected == units.exact(value, kind)


@settings(deadline=None)
@given(
    st.floats(0, 1e9, allow_subnormal=False).filter(lambda x: x == 0 or x > 1e-9),
    st.sampled_from(["duration", "share", "rate"]),
)
def test_exact_text_reads_back_as_the_same_number(value, kind):
    assert value == units.parse(units.exact(value, kind), kind)


@settings(deadline=None)
@given(st.integers(0, 2**50))
def test_exact_sizes_read_back_as_the_same_bytes(value):
    assert value == units.parse(units.exact(value, "size"), "size")


@pytest.mark.parametrize(
    ("expected", "value", "unit"),
    [
        ("12.3 ms", 0.0123, "s"),
        ("1 s", 0.9996, "s"),
        ("0 s", 0.0, "s"),
        ("-500 ms", -0.5, "s"),
        ("300 s", 300.0, "s"),
        ("12.5 min", 750.0, "s"),
        ("3 h", 10800.0, "s"),
        ("2.5 µs", 2.5e-6, "s"),
        ("3 ns", 3e-9, "s"),
        ("∞", math.inf, "s"),
        ("1.25 GB", 1.25e9, "B"),
        ("512 B", 512, "B"),
        ("0 B", 0, "B"),
        ("1.2 %", 0.012, "share"),
        ("0.001 %", 1e-5, "share"),
        ("below 0.001 %", 0.99e-5, "share"),
        ("0 %", 0.0, "share"),
        ("41.3 tok/s", 41.26, "tok/s"),
        ("1.5 req/s", 1.5, "req/s"),
        ("1.98 cores", 1.984, "cores"),
        ("12 345", 12345, "count"),
        ("1.15", 1.1499, "ratio"),
    ],
)
def test_a_value_is_written_by_its_unit(expected, value, unit):
    assert expected == units.value(value, unit)


@pytest.mark.parametrize("unit", ["s", "B", "share", "req/s", "tok/s", "cores", "count", "ratio"])
def test_an_absent_value_is_a_dash_in_every_unit(unit):
    assert "–" == units.value(None, unit)
    assert "–" == units.value(math.nan, unit)


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ("0.0123", 0.01234),
        ("1 000", 999.7),
        ("12 346", 12345.6),
        ("-∞", -math.inf),
        ("0.0000123", 1.23e-5),
        ("20", 20),
    ],
)
def test_numbers_have_three_significant_digits_and_no_exponent(expected, value):
    assert expected == units.number(value)


def test_counts_are_grouped_in_threes():
    assert "1 234 567" == units.count(1234567)
    assert "–" == units.count(None)
