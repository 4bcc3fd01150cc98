"""The METEOR 1.5 program of its authors, which aligns captions with references.

It is a Java archive that the package ``pycocoevalcap`` (optional extra ``meteor``) carries, in the build that
the coco-caption tools use; METEOR is LGPL 2.1 and no part of this project. One process aligns all captions of
a call: starting it takes seconds, because it reads a table of paraphrases. ``evaluation.meteor`` makes scores
of the counts.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from evaluation.meteor import COUNTS
from tasks.errors import DataError, UnavailableError
from tasks.lifetime import end_with_parent

PACKAGE: Final = "pycocoevalcap"
JAR: Final = Path("meteor") / "meteor-1.5.jar"
SECONDS: Final = 900.0
"""How long one call may take; 2,000 captions take about 15 s."""
_SEPARATOR: Final = "|||"
_OPTIONS: Final = ("-Xmx2G", "-Dfile.encoding=UTF-8")
_TASK: Final = ("-", "-", "-stdio", "-l", "en", "-norm")


def align_captions(
    captions: Sequence[str], references: Sequence[Sequence[str]], *, timeout: float = SECONDS
) -> npt.NDArray[np.float64]:
    """Align each caption with the best of its references.

    Args:
        captions: Words joined by spaces, one text per item; may be empty.
        references: Of each item, at least one text with a word.
        timeout: Seconds until the program is ended.

    Returns:
        ``evaluation.meteor.COUNTS`` of each item, shape (I, S).

    Raises:
        UnavailableError: If the package or Java is missing, or the program fails or takes too long.
        DataError: If a text holds the separator of the program or a line break.
    """
    lines = [
        _line(number, caption, several)
        for number, (caption, several) in enumerate(zip(captions, references, strict=True), start=1)
    ]
    jar, java = _find_jar(), _find_java()
    answers = _run([java, *_OPTIONS, "-jar", jar.name, *_TASK], jar.parent, lines, timeout)
    return np.array([_counts(answer) for answer in answers], dtype=np.float64).reshape(-1, len(COUNTS))


def missing() -> str | None:
    """Say what keeps METEOR from running here, or None if nothing does."""
    try:
        _find_jar()
        _find_java()
    except UnavailableError as error:
        return str(error)
    return None


def _line(number: int, caption: str, references: Sequence[str]) -> str:
    texts = ["SCORE", *references, caption]
    for text in texts:
        if _SEPARATOR in text or len(text.splitlines()) > 1:
            raise DataError(
                f"text {text[:80]!r} holds {_SEPARATOR!r} or a line break, which METEOR cannot read.",
                obj=f"METEOR item {number}",
                hint="Tokenise captions and references with evaluation.captions.caption_tokens.",
            )
    return f" {_SEPARATOR} ".join(texts)


def _find_jar() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations if found else None) or ():
        if (Path(folder) / JAR).is_file():
            return Path(folder) / JAR
    raise UnavailableError(
        f"the package {PACKAGE}, which carries METEOR 1.5, is not installed.",
        obj="METEOR",
        hint="Install it with `pip install 'groundwork[meteor]'`.",
    )


def _find_java() -> str:
    java = shutil.which("java")
    if java is None:
        raise UnavailableError(
            "there is no `java` on the path.",
            obj="METEOR",
            hint="Install a Java runtime, e.g. `apt-get install default-jre-headless`.",
        )
    return java


def _run(command: list[str], folder: Path, lines: list[str], timeout: float) -> list[str]:
    """Send all lines and return one answer for each."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
            preexec_fn=end_with_parent,
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(f"gave no answer within {timeout:g} s.") from error
    answers = done.stdout.splitlines()
    if done.returncode != 0 or len(answers) != len(lines):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
        raise _failed(
            f"ended with code {done.returncode} after {len(answers)} of {len(lines)} answers: {said[:200]}"
        )
    return answers


def _counts(answer: str) -> list[float]:
    try:
        counts = [float(part) for part in answer.split()]
    except ValueError:
        counts = []
    if len(counts) != len(COUNTS):
        raise _failed(f"answered {answer[:120]!r}, expected {len(COUNTS)} numbers.")
    return counts


def _failed(message: str) -> UnavailableError:
    return UnavailableError(
        message,
        obj="METEOR",
        hint="Check `java -version` and the free memory (it takes up to 2 GB), then repeat.",
    )
