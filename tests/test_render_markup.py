"""Foreign text in a page: shown, never run."""

import re

import pytest
from hostile import PAYLOADS
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup, escape

from hxbench.render.markup import TEXT_LIMIT, clean, markdown, plain

TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)((?: [a-z-]+=\"[^\"<>]*\")*)>")
HARMLESS = {
    "class",
    "colspan",
    "rowspan",
    "scope",
    "src",
    "alt",
    "href",
    "rel",
    "tabindex",
    "role",
    "aria-label",
}


def assert_harmless(html: str) -> None:
    """Every bracket belongs to a plain tag with harmless attributes; tags are closed in order."""
    assert "<" not in TAG.sub("", html)
    opened = []
    for closing, name, attributes in TAG.findall(html):
        assert set(re.findall(r" ([a-z-]+)=", attributes)) <= HARMLESS
        assert not re.search(
            r"(?:href|src)=\"\s*(?!https?:|mailto:|data:image/|[#./\w-]+(?:[^:\"]*\"))", attributes
        )
        if closing:
            assert opened.pop() == name
        elif name not in ("br", "hr", "img"):
            opened.append(name)
    assert opened == []


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_html_becomes_harmless(payload: str) -> None:
    assert_harmless(clean(payload))
    assert_harmless(clean(f"<table><tr><td>{payload}</td></tr></table>"))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_markdown_becomes_harmless(payload: str) -> None:
    assert_harmless(markdown(payload))


@settings(deadline=None)
@given(st.text(st.sampled_from("<>/!?-[]&;#\"'= \tabhikoprstx:."), max_size=80))
def test_whatever_is_written_comes_out_harmless(text: str) -> None:
    assert_harmless(clean(text))


def test_tags_that_are_not_allowed_are_shown_as_text() -> None:
    assert clean("a <script>b</script>") == "a &lt;script&gt;b&lt;/script&gt;"


def test_a_table_survives_without_its_handlers_and_can_be_scrolled() -> None:
    row = '<tr><th scope="col" colspan="2">a</th></tr>'
    given = f'<table border="1" class="dataframe x" onclick="y">{row}</table>'
    inner = '<table class="dataframe"><tr><th colspan="2" scope="col">a</th></tr></table>'
    assert f'<div class="scroll" tabindex="0" role="group" aria-label="Table">{inner}</div>' == clean(given)


def test_style_sheets_vanish_with_their_content() -> None:
    assert "ab" == clean("a<style>p { color: red } <b></style>b")


def test_a_page_has_one_title_so_the_largest_heading_becomes_the_second() -> None:
    assert "<h2>Title</h2>\n" == markdown("# Title")


def test_a_link_keeps_only_addresses_that_cannot_run() -> None:
    kept = '<a href="records/reads.parquet" rel="noopener noreferrer">x</a>'
    assert kept == clean('<a href="records/reads.parquet" target="_blank">x</a>')
    assert "<a>x</a>" == clean('<a href="javascript:y">x</a>')


def test_an_image_is_only_shown_when_the_page_itself_holds_it() -> None:
    held = '<img src="data:image/png;base64,aGk=" alt="Image">'
    assert held == clean('<img src="data:image/png;base64,aGk=">')
    assert "&lt;img src=&quot;http://a/b.png&quot;&gt;" == clean('<img src="http://a/b.png">')


def test_open_tags_are_closed_and_stray_ends_are_dropped() -> None:
    assert "<b><i>x</i></b>" == clean("</p><b><i>x</p></b></i>")


def test_tags_nested_without_end_appear_as_text() -> None:
    html = clean("<div>" * 150)
    assert (100, 50) == (html.count("<div>"), html.count("&lt;div&gt;"))


def test_terminal_text_loses_colours_and_overwritten_lines() -> None:
    assert "100 %\nred �" == plain("10 %\r50 %\r100 %\r\n\x1b[31mred\x1b[0m \x07")


def test_endless_text_is_cut_and_says_so() -> None:
    text = plain("x" * (TEXT_LIMIT + 5))
    assert text.endswith(f"\n[cut here: {TEXT_LIMIT + 5} characters in all, the notebook holds them]")


def test_text_that_markup_escapes_is_not_escaped_twice() -> None:
    assert Markup("<p>&lt;b&gt; &amp; c</p>") == clean(f"<p>{escape('<b> & c')}</p>")
