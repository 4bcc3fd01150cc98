import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tasks.report.markdown_text import code, prose, table, visible

PIECES = [
    "@team", "#12", "!34", "GH-5", "~bug", "%1.0", "$x$", "&3", "deadbeef1", ":tada:", "www.example.org",
    "https://example.org/a?b=c", "mail@example.org", "[a](https://example.org)",
    "![i](https://example.org/x.png)", "<img src=x onerror=alert(1)>", "</code>", "<!--", "-->", "`",
    "``", "```", "~~~", "|", "||", "\\", "\\|", "*", "**", "_", "__", "~~", "#", "##", ">", "-", "+",
    "1.", "2)", "---", "===", "[ ]", "[x]", "/close", "/assign @me", "&lt;", "&#64;", "\n", "\r\n",
    "\n\n", "\t", "\x00", "\u202e", "\u200b", "\u2028", "\ud800", "é", "核", "🙂", "a", "0.5",
    "[vulnerability:1]", "[[wiki]]", "mask.ap50", "'circle'", "^", "{", "}", "$$", "::error::",
    "mailto:a", "(c)", "\"",
]  # fmt: skip
strange = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join),
    st.text(max_size=40),
)
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
"""Reads as GitHub does, and passes raw HTML on: what was not escaped shows as such."""
ACTIVE = re.compile(
    r"@\w|#\d|!\d|gh-\d|[~%$^&](?=[\w\"{])|://|www\.|:[\w+-]+:|\[[a-z]\w*:|\b[0-9a-f]{7,}\b", re.IGNORECASE
)
"""What a service turns into a link, a mention or a picture after it has read the markdown."""


def leaves(markdown):
    """Yield kind and text of everything that a reader sees."""
    for token in PARSER.parse(markdown):
        for leaf in token.children or [token]:
            yield leaf.type, leaf.content


def structure(markdown):
    """Return the blocks alone."""
    return [token.type for token in PARSER.parse(markdown)]


def shown(markdown):
    return "".join(content for kind, content in leaves(markdown) if kind in {"text", "code_inline"})


def check_inert(markdown):
    kinds = {kind for kind, _ in leaves(markdown)}
    inline = {"text", "code_inline", "softbreak"}
    blocks = re.compile(
        r"(paragraph|bullet_list|list_item|table|thead|tbody|tr|th|td|heading|strong)_(open|close)"
    )
    assert all(kind in inline or blocks.fullmatch(kind) for kind in kinds), kinds
    plain = "".join(content if kind == "text" else " " for kind, content in leaves(markdown))
    assert not ACTIVE.search(plain), plain
    assert not re.search(r"^\s*/", markdown, re.MULTILINE)


@given(strange)
@example("`a`@b `c``d`")
@example("a\\|b")
@example("\\")
def test_a_sentence_is_one_inert_paragraph_that_says_the_same(text):
    markdown = prose(text)
    assert structure(markdown) == ["paragraph_open", "inline", "paragraph_close"]
    check_inert(markdown)
    if visible(text).strip():
        without_quotes = visible(text).replace("`", "").split()
        assert "".join(shown(markdown).replace("`", "").split()) == "".join(without_quotes)


@given(strange)
@example("|")
@example("` | `")
def test_a_name_is_one_inert_span_that_says_the_same(text):
    markdown = f"name {code(text)} end"
    assert structure(markdown) == ["paragraph_open", "inline", "paragraph_close"]
    check_inert(markdown)
    if text:
        assert shown(markdown) == f"name {visible(text, 200)} end"


@given(st.lists(strange, min_size=3, max_size=3), st.lists(strange, min_size=2, max_size=2))
def test_a_table_keeps_its_cells(names, sentences):
    rows = [[code(name), prose(sentence), "end"] for name, sentence in zip(names, sentences, strict=False)]
    markdown = "\n".join(table(["one", "two", "three"], rows, numbers={2}))
    assert structure(markdown).count("td_open") == 6
    assert structure(markdown).count("table_open") == 1
    check_inert(markdown)
    cells = [content for kind, content in leaves(markdown) if kind == "text" and content == "end"]
    assert len(cells) >= 2


@given(strange)
def test_a_list_keeps_its_items(text):
    markdown = f"**Reasons**\n\n- {prose(text)}\n- {prose('the last one')}\n"
    assert structure(markdown).count("list_item_open") == 2
    assert structure(markdown).count("bullet_list_open") == 1
    check_inert(markdown)


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("mask.ap50 is 0.61 [+0.01, +0.02].", "mask.ap50 is 0.61 &#91;+0.01, +0.02&#93;."),
        ("Run `groundwork eval --x` now.", "Run `groundwork eval --x` now."),
        ("category '@team' fell", "category `'@team'` fell"),
        ("a @b #1 c", "a `@b #1` c"),
        ("`a`@b`c`", "`a` `@b` `c`"),
        ("- item", "&#45; item"),
        ("1. item", "&#49;. item"),
        ("snake_case", "snake&#95;case"),
        ("a|b", "`a`&#124;`b`"),
        ("", "(empty)"),
    ],
)
def test_sentences(text, markdown):
    assert prose(text) == markdown


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("circle", "`circle`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("a|b", "`a`&#124;`b`"),
        (" ", "` `"),
        (" a ", "`  a  `"),
        ("line\nbreak \u202egnp", "`line\\u000abreak \\u202egnp`"),
        ("", "(empty)"),
        ("x" * 201, f"`{'x' * 200} …`"),
    ],
)
def test_names(text, markdown):
    assert code(text) == markdown
