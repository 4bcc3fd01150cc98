"""The program itself where it is installed, and every way in which it may not be there or fail."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from evaluation.captions import CaptionItem, caption_tokens
from evaluation.meteor import COUNTS, corpus_meteor, evaluate_meteor
from tasks.errors import DataError, UnavailableError
from tasks.services.meteor import align_captions, missing

VECTORS = Path(__file__).parents[2] / "data/captions"
REASON = missing()
needs_meteor = pytest.mark.skipif(REASON is not None, reason=str(REASON))
ONE = (["a dog"], [["the dog"]])


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """An archive that is none, and a ``java`` that does what a test says."""
    jar = tmp_path / "site" / "pycocoevalcap" / "meteor" / "meteor-1.5.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    folder = tmp_path / "bin"
    folder.mkdir()

    def write(script):
        java = folder / "java"
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")

    monkeypatch.setenv("PATH", str(folder))
    return write


@needs_meteor
def test_the_program_itself():
    """In one call, because starting it takes seconds: published captions, an empty one, any letters."""
    kept = json.loads(gzip.decompress((VECTORS / "meteor_counts.json.gz").read_bytes()))
    references = json.loads((VECTORS / "clipscore_refs.json").read_text())
    captions = json.loads((VECTORS / "clipscore_good_captions.json").read_text())
    letters = "caf\u00e9 \u65e5\u672c"
    items = [CaptionItem(item_id=key, references=tuple(texts)) for key, texts in references.items()]
    items += [
        CaptionItem(item_id=key, references=(text,)) for key, text in {"no": "a dog", "an": letters}.items()
    ]
    table = evaluate_meteor(items, captions | {"an": letters}, aligner=align_captions).per_item
    theirs = kept["clipscore_good"]
    np.testing.assert_array_equal(table[list(COUNTS)].to_numpy()[:2], theirs["counts"])
    assert table["meteor"].tolist() == pytest.approx([*theirs["segments"], 0.0, 1.0], abs=1e-14)
    assert corpus_meteor(table[:2]) == pytest.approx(0.3444, abs=5e-5)
    assert table["caption_words"].tolist()[2:] == [0.0, 3.0]
    assert table["caption_matches"].tolist()[2:] == [0.0, 3.0]


def test_the_answers_become_counts(fake):
    fake('while read line; do echo "1.0 2.0 $(seq -s " " 3 23)"; done')
    assert missing() is None
    counts = align_captions(["a dog", ""], [["the dog"], ["x", "y"]])
    np.testing.assert_array_equal(counts, [np.arange(1.0, 24.0)] * 2)


def test_the_lines_that_it_is_sent(fake, tmp_path):
    seen, arguments = tmp_path / "seen", tmp_path / "arguments"
    answer = 'while read line; do echo "$(seq -s " " 1 23)"; done'
    fake(f"echo $@ > {arguments}; tee {seen} | {answer}")
    align_captions(["a dog", ""], [["the dog"], ["x", "y"]])
    assert seen.read_text() == "SCORE ||| the dog ||| a dog\nSCORE ||| x ||| y ||| \n"
    assert arguments.read_text().split()[-6:] == ["-", "-", "-stdio", "-l", "en", "-norm"]


def test_the_package_is_missing(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(
        UnavailableError, match=r"^METEOR: the package pycocoevalcap, which carries METEOR 1\.5"
    ) as caught:
        align_captions(*ONE)
    assert caught.value.hint == "Install it with `pip install 'groundwork[meteor]'`."
    assert "pip install" in missing()


def test_java_is_missing(fake):
    with pytest.raises(UnavailableError, match=r"^METEOR: there is no `java` on the path\. Install a Java"):
        align_captions(*ONE)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo no heap >&2; exit 1",
            r"ended with code 1 after 0 of 1 answers: no heap Check `java -version`",
        ),
        ("cat > /dev/null", r"ended with code 0 after 0 of 1 answers: it said nothing"),
        ("cat > /dev/null; echo 1 2 three", r"answered '1 2 three', expected 23 numbers\."),
        ("cat > /dev/null; echo 1 2 3", r"answered '1 2 3', expected 23 numbers\."),
    ],
)
def test_the_program_fails(fake, script, message):
    fake(script)
    with pytest.raises(UnavailableError, match=message) as caught:
        align_captions(*ONE)
    assert caught.value.obj == "METEOR"


def test_the_program_takes_too_long(fake):
    fake("exec sleep 30")
    with pytest.raises(UnavailableError, match=r"gave no answer within 0\.3 s\."):
        align_captions(*ONE, timeout=0.3)


@pytest.mark.parametrize("text", ["a ||| b", "a\nb", "a\u2028b"])
def test_texts_that_it_cannot_read(text):
    for captions, references in (([text], [["x"]]), (["x"], [["y", text]])):
        with pytest.raises(
            DataError, match=r"^METEOR item 1: text .* holds '\|\|\|' or a line break"
        ) as caught:
            align_captions(captions, references)
        assert "caption_tokens" in caught.value.hint
    assert "|" not in " ".join(caption_tokens(text))
