"""The comparison as a browser meets it: nothing asked of a network, nothing run, nothing broken."""

import re
from pathlib import Path

import pytest

from tasks.report.comparison import render_comparison
from tasks.report.sources import ReportInputs
from tests.tasks.report.browser import needs_browser, open_page
from tests.tasks.report.candidate import make_candidate
from tests.tasks.report.comparison_case import compared, side_of

ATTACK = (
    """"'></style></title><script>document.title='pwned'</script>"""
    """<img src="http://evil.test/x.png" onerror="document.title='pwned'">"""
    """<svg onload="document.title='pwned'"></svg><link rel="stylesheet" href="http://evil.test/y.css">"""
)
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; [^>]*>')

pytestmark = needs_browser


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A page whose category, model and image names are all an attack."""
    folder = tmp_path_factory.mktemp("hostile")
    spoil = {"rename": lambda name: f"{ATTACK} {name}"}
    mine = make_candidate(folder / "mine", world, seed=2, care=0.9, **spoil)
    theirs = make_candidate(folder / "theirs", world, seed=1, care=0.6, **spoil)
    dataset = folder / "dataset"
    (dataset / "val").mkdir(parents=True)
    records = mine.records.read_text()
    name = """"'><img src=x onerror="document.title='pwned'">"""  # a name of a file cannot hold a slash
    for number, path in enumerate(sorted((world / "val").iterdir())):
        (dataset / "val" / f"{name}{number}.jpg").write_bytes(path.read_bytes())
        escaped = f"{name}{number}.jpg".replace('"', '\\"')
        records = records.replace(f'"val/{path.name}"', f'"val/{escaped}"')
    mine.records.write_text(records)
    inputs = compared(
        mine,
        theirs,
        candidate=side_of(ATTACK, mine),
        champion=side_of(f"{ATTACK} old", theirs),
        dataset=dataset,
        made_at=ATTACK,
    )
    return render_comparison(inputs, folder / "out")


def test_names_run_nothing_and_ask_for_nothing(tmp_path: Path, hostile: Path) -> None:
    opened = open_page(hostile, tmp_path)
    assert opened.requests == []
    assert opened.title.startswith("Comparison: ")
    assert not re.search(r"<(script|img|iframe|object|embed)\b", opened.dom)
    assert not re.search(r"<[^>]* on(error|load)=", re.sub(r'"[^"]*"', '""', opened.dom))
    assert "evil.test" in opened.dom  # the names are there, as text
    assert len(POLICY.findall(opened.dom)) == 1
    assert opened.dom.count("</footer>") == 1


def test_an_honest_page_needs_no_network(
    tmp_path: Path, challenger: ReportInputs, champion: ReportInputs
) -> None:
    page = render_comparison(compared(challenger, champion), tmp_path / "out")
    opened = open_page(page, tmp_path)
    assert opened.requests == []
    assert opened.title == "Comparison: new model and old model"


def test_the_proof_sees_an_attack_that_works(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>calm</title><body>{ATTACK}")
    opened = open_page(page, tmp_path)
    assert opened.title == "pwned"
    assert {"http://evil.test/x.png", "http://evil.test/y.css"} <= set(opened.requests)


def test_the_policy_alone_stops_it(tmp_path: Path, hostile: Path) -> None:
    """Were a name ever written unescaped, the browser would still refuse it."""
    policy = POLICY.search(hostile.read_text(encoding="utf-8"))
    assert policy is not None
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html>{policy[0]}<title>calm</title><body>{ATTACK}")
    opened = open_page(page, tmp_path)
    assert opened.title == "calm"
    assert opened.requests == []
