import os
from pathlib import Path

import pytest

from hxbench.errors import ProfileError
from hxbench.plan import yaml_text


def refused(text: str) -> str:
    with pytest.raises(ProfileError) as caught:
        yaml_text.loads(text, "f")
    return str(caught.value)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ({"a": 1, "b": {"c": "2 s", "d": [1, "x"]}}, "a: 1\nb: {c: 2 s, d: [1, x]}"),
        ({"a": [True, False, None, -2, 0.5]}, "a: [true, false, null, -2, 0.5]"),
        ({"a": "010", "b": "yes", "c": "", "d": "~"}, "a: '010'\nb: \"yes\"\nc: ''\nd: '~'"),
        ({"a": "<= 90 GB", "b": "< 1 %"}, "a: <= 90 GB\nb: < 1 %"),
        (
            {"a": "http://127.0.0.1:80/v1", "b": "TC-L1-*", "c": "1.2.3"},
            "a: http://127.0.0.1:80/v1\nb: TC-L1-*\nc: 1.2.3",
        ),
        ({"a": "x\ny\n"}, "a: |\n  x\n  y\n"),
        ("alone", "alone"),
    ],
)
def test_a_value_means_what_it_looks_like(expected, text):
    assert expected == yaml_text.loads(text, "f").value


@pytest.mark.parametrize(
    ("expected", "scalar"),
    [
        *[("write true or false", word) for word in ("yes", "No", "on", "OFF", "y", "N", "True", "FALSE")],
        *[("write null", word) for word in ("~", "Null", "NULL")],
        *[("without a leading zero", number) for number in ("010", "0o10", "0x1F", "0b1", "00", "-012")],
        *[("to base 60", number) for number in ("1:30", "12:00:00", "-1:30.5")],
        *[("no exponent", number) for number in ("1e3", "1.5E+3", ".5e1", "-2e-2")],
        *[("a date", date) for date in ("2024-01-01", "2024-1-1 10:00", "2024-01-01T10:00:00Z")],
        *[("only finite", number) for number in (".nan", ".NaN", ".inf", "-.INF")],
        *[("at most 18 digits", number) for number in ("+1", "1_000", "10,000", "1.", ".5", "1" * 19)],
        ("has no value; write null", ""),
    ],
)
def test_what_yaml_reads_otherwise_is_refused_with_the_way_out(expected, scalar):
    message = refused(f"k:\n  a: {scalar}")
    assert expected in message
    assert message.startswith("f:2: k.a: ")


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("f: is empty", ""),
        ("f: is empty", "# only\n# comments"),
        ("f:1: a: anchors are not allowed, got &x", "a: &x 1\nb: *x"),
        ("f: a: aliases are not allowed, got *x", "a: *x"),
        ("f: a: tags are not allowed, got tag:yaml.org,2002:str", "a: !!str 1"),
        ("f: tags are not allowed, got !", "! a"),
        ("f:3: a: duplicate key, first on line 1", "a: 1\nb: 2\na: 3"),
        ("f: a.b: duplicate key, first on line 1", "a: {b: 1, b: 2}"),
        ("f: merge keys (<<) are not allowed", "<<: {a: 1}"),
        ("f:2: holds several documents, expected one", "a: 1\n---\nb: 2"),
        ("f:1: directives (%YAML, %TAG) are not allowed", "%YAML 1.1\n---\na: 1"),
        ("f: a key must be text; quote it", "1: 2"),
        ("f:1: a key must be text; quote it", "? {a: 1}\n: 2"),
        ("f: is nested more than 20 deep", "[" * 100_000),
        ("f: is nested more than 20 deep", "{a: " * 100_000),
        ("f:2: character U+0000 is not allowed", "a: 1\nb: \x00"),
        ("f: character U+DCFF is not allowed", "\udcff"),
        ("f: not YAML: no such character or version", '"\\UFFFFFFFF"'),
        ("f:1: not YAML: no such character or version", f"%YAML 1.{'1' * 5000}\n---\na: 1"),
        ("f:2: not YAML: found character '\\t' that cannot start any token", "a:\n\t- b"),
        ("f: not YAML: mapping values are not allowed here", "a: b: c"),
        (
            "f: not YAML: expected a comment or a line break, but found 'x'; "
            "quote text that begins with > or |",
            "a: | x",
        ),
    ],
)
def test_what_hides_a_value_is_refused_with_its_line(expected, text):
    assert expected == refused(text)


def test_a_key_with_a_newline_stays_on_one_line_of_the_message():
    assert "f: a\\nb: duplicate key, first on line 1" == refused('{"a\\nb": 1, "a\\nb": 2}')


def test_lines_are_known_for_keys_and_items():
    assert {("a",): 1, ("b",): 2, ("b", "0"): 3, ("b", "0", "c"): 3} == yaml_text.loads(
        "a: 1\nb:\n  - c: 2", "f"
    ).lines


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (8, "8"),
        (0.5, " 0.5 "),
        (None, "null"),
        ({"a": 1}, '{"a": 1}'),
        ("3", '"3"'),
        (">= 40", ">= 40"),
        ("a: b", "a: b"),
    ],
)
def test_a_setting_is_a_plain_scalar_or_a_value_in_brackets_or_quotes(expected, text):
    assert expected == yaml_text.setting(text, "--set")


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("--set: yes is not allowed: write true or false in lower case, or quote the text", "yes"),
        ("--set: has no value; write null or leave the key out", ""),
        ("--set: not YAML: expected ',' or ']', but got '<stream end>'", "[1"),
    ],
)
def test_a_setting_that_is_no_strict_yaml_is_refused(expected, text):
    with pytest.raises(ProfileError) as caught:
        yaml_text.setting(text, "--set")
    assert expected == str(caught.value)


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        ("f:2: is not UTF-8", b"a: 1\nb: \xff"),
        ("f:1: is not UTF-8", "a: 1".encode("utf-16")),
        ("f: is empty", b""),
        ("f: expected a mapping of keys to values", b"- a"),
        ("f: is above 1 MiB, the most a profile may have", b"#" * ((1 << 20) + 1)),
    ],
)
def test_a_file_that_is_no_profile_is_refused(tmp_path, expected, data):
    (tmp_path / "x.yaml").write_bytes(data)
    with pytest.raises(ProfileError) as caught:
        yaml_text.load(tmp_path / "x.yaml", "f")
    assert expected == str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert {"a": 1} == yaml_text.load(tmp_path / "x.yaml", "f").value


def test_what_cannot_be_opened_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path: "f: is a folder, expected a YAML file",
        tmp_path / "pipe": "f: is not a regular file, expected a YAML file",
        tmp_path / "none.yaml": "f: cannot be read: No such file or directory",
        tmp_path / ("x" * 300): "f: cannot be read: File name too long",
        Path("a\0b"): "f: is no file name",
    }
    for path, expected in cases.items():
        with pytest.raises(ProfileError) as caught:
            yaml_text.load(path, "f")
        assert expected == str(caught.value)
