import doctest
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "affinity.md"


def test_the_examples_of_the_page_run():
    outcome = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.attempted > 12
    assert outcome.failed == 0


def test_what_the_page_links_to_is_there():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", PAGE.read_text())
    missing = [link for link in links if not (PAGE.parent / link).exists()]
    assert len(links) > 4
    assert missing == []
