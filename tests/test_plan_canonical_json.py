import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hxbench import canonical_json

# The published vectors of cyberphone/json-canonicalization (testdata/input and outhex), RFC 8785's own.
VECTORS = {
    "arrays": ('[56,{"d":true,"10":null,"1":[]}]', '[56,{"1":[],"10":null,"d":true}]'),
    "structures": (
        '{"1":{"f":{"f":"hi","F":5},"\\n":56.0},"10":{},"":"empty","a":{},"111":[{"e":"yes","E":"no"}],"A":{}}',
        '{"":"empty","1":{"\\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}',
    ),
    "values": (
        '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
        '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    ),
    "weird": (
        '{"\\u20ac":1,"\\r":2,"\\u000a":3,"1":4,"\\u0080":5,"\\ud83d\\ude02":6,"\\u00f6":7,"\\ufb33":8,"</script>":9}',
        '{"\\n":3,"\\r":2,"1":4,"</script>":9,"\x80":5,"ö":7,"€":1,"😂":6,"\ufb33":8}',
    ),
    "unicode": ('{"Unnormalized Unicode":"A\\u030a"}', '{"Unnormalized Unicode":"A\u030a"}'),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_published_vectors_come_out_byte_for_byte(name):
    given_text, expected = VECTORS[name]
    assert expected.encode() == canonical_json.encode(json.loads(given_text))


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (b"0", -0.0),
        (b"1e+21", 1e21),
        (b"100000000000000000000", 1e20),
        (b"0.000001", 1e-6),
        (b"1e-7", 1e-7),
        (b"-1.5e-7", -1.5e-7),
        (b"5e-324", 5e-324),
        (b"1.7976931348623157e+308", 1.7976931348623157e308),
        (b"9007199254740992", 2**53),
        (b'"9007199254740993"', 2**53 + 1),
        (b"[1,2]", (1, 2)),
        (b"true", True),
    ],
)
def test_numbers_are_written_as_ecmascript_writes_them(expected, value):
    assert expected == canonical_json.encode(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], "\ud800", {"a\udfff": 1}])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(ValueError, match=r"no canonical JSON form|surrogates not allowed"):
        canonical_json.encode(value)


@pytest.mark.parametrize("value", [{1: 2}, {1, 2}, b"bytes", object()])
def test_what_has_no_json_form_is_a_type_error(value):
    with pytest.raises(TypeError):
        canonical_json.encode(value)


@settings(deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_the_text_reads_back_as_the_same_value(value):
    assert value == json.loads(canonical_json.encode(value), parse_int=float)
