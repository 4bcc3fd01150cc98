"""Conversations to ids and labels, segment by segment: nothing is tokenised twice, nothing is searched for.

Labels follow from who speaks: what the assistant says, and the token that ends it, is learned; the rest is
``IGNORED``. Template: Vicuna v1 (https://github.com/lm-sys/FastChat) and ChatML of Qwen.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from transformers import PreTrainedTokenizerBase

from models.region_lm.tokens import IMAGE, MASK, POSITION, plain_ids, token_ids

IGNORED = -100
"""Label of a position that is not learned."""
_FEATURES = (IMAGE, MASK, POSITION)
"""Placeholders, which features overwrite: nobody can learn to say one."""


@dataclass(frozen=True, slots=True)
class Token:
    """One special token, by name: a placeholder for features, or a mark of the template."""

    name: str


Part = str | Token
"""A string is text that somebody wrote: tags in it are letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one side says."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTemplate:
    """What stands around the turns."""

    name: str
    opening: tuple[Part, ...]
    """Before the first turn."""
    before_user: tuple[Part, ...]
    before_assistant: tuple[Part, ...]
    """Closes the user's turn and opens the answer. A model is asked for what comes next."""
    answer_prefix: str = ""
    """Learned with the answer: the space that tokenizers fuse with its first word."""
    terminator: str | None = None
    """Special token that ends an answer, learned with it; None: the tokenizer's end of sequence."""
    after_assistant: tuple[Part, ...] = ()
    """After the terminator."""
    begins: bool = True
    """Whether the sequence starts with the tokenizer's first token, if it has one."""


VICUNA = ChatTemplate(
    name="vicuna",
    opening=(
        "A conversation between a person and an assistant that can see. "
        "The assistant answers truthfully and to the point. ",
    ),
    before_user=("USER: ",),
    before_assistant=(" ASSISTANT:",),
    answer_prefix=" ",
)
_START, _END = Token("<|im_start|>"), Token("<|im_end|>")
CHATML = ChatTemplate(
    name="chatml",
    opening=(_START, "system\nYou are an assistant that can see.", _END, "\n"),
    before_user=(_START, "user\n"),
    before_assistant=(_END, "\n", _START, "assistant\n"),
    terminator=_END.name,
    after_assistant=("\n",),
    begins=False,
)


class Encoded(NamedTuple):
    """A conversation before features are put in."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The id to learn, or ``IGNORED``; as many as ids."""


class _Segment(NamedTuple):
    part: Part
    learned: bool


def encode(
    turns: Sequence[Turn],
    template: ChatTemplate,
    tokenizer: PreTrainedTokenizerBase,
    *,
    answer_next: bool = False,
) -> Encoded:
    """Turn a conversation into ids and labels.

    Args:
        turns: User and assistant in turn; the user begins.
        template: What stands around them.
        tokenizer: Has every special token that parts and template name.
        answer_next: Whether the model is to answer the last turn, which then is the user's. Otherwise the
            last turn is an answer.

    Returns:
        Ids with one position for each placeholder, and labels.

    Raises:
        ValueError: If turns do not alternate, one says nothing, the last speaker is the wrong one, a token is
            unknown, or the assistant has a placeholder.
    """
    _check(turns, answer_next=answer_next)
    terminator = template.terminator or tokenizer.eos_token
    if terminator is None:
        raise ValueError(
            f"template {template.name!r} ends answers with the tokenizer's eos_token: it has none."
        )
    ids: list[int] = []
    labels: list[int] = []
    if template.begins and tokenizer.bos_token_id is not None:
        ids.append(tokenizer.bos_token_id)
        labels.append(IGNORED)
    segments = _segments(turns, template, Token(terminator), answer_next=answer_next)
    for number, segment in enumerate(_joined(segments)):
        if isinstance(segment.part, Token):
            found = list(token_ids(tokenizer, [segment.part.name]).values())
        else:
            found = plain_ids(tokenizer, segment.part, first=number == 0)
        ids += found
        labels += found if segment.learned else [IGNORED] * len(found)
    return Encoded(tuple(ids), tuple(labels))


def _check(turns: Sequence[Turn], *, answer_next: bool) -> None:
    expected = "user" if answer_next else "assistant"
    if not turns or turns[-1].role != expected:
        last = turns[-1].role if turns else "nobody"
        raise ValueError(f"the last turn must be the {expected}'s, got {last}.")
    for number, turn in enumerate(turns):
        if turn.role != ("user", "assistant")[number % 2]:
            raise ValueError(
                f"turn {number} must be the {('user', 'assistant')[number % 2]}'s, got {turn.role!r}."
            )
        features = [part.name for part in turn.parts if isinstance(part, Token) and part.name in _FEATURES]
        if turn.role == "assistant" and features:
            raise ValueError(
                f"turn {number} of the assistant has the placeholder {features[0]!r}: only what the user "
                "says can show something."
            )
        if not any(isinstance(part, Token) or part.strip() for part in turn.parts):
            raise ValueError(f"turn {number} of the {turn.role} says nothing.")


def _segments(
    turns: Sequence[Turn], template: ChatTemplate, terminator: Token, *, answer_next: bool
) -> Iterator[_Segment]:
    """List what is said in order."""

    def silent(parts: Iterable[Part]) -> Iterator[_Segment]:
        return (_Segment(part, learned=False) for part in parts)

    yield from silent(template.opening)
    for turn in turns:
        if turn.role == "user":
            yield from silent((*template.before_user, *turn.parts, *template.before_assistant))
        else:
            learned = (template.answer_prefix, *turn.parts, terminator)
            yield from (_Segment(part, learned=True) for part in learned)
            yield from silent(template.after_assistant)


def _joined(segments: Iterable[_Segment]) -> Iterator[_Segment]:
    """Join neighbouring texts that are learned alike: tokenizers see whole sentences."""
    text, learned = "", False
    for part, is_learned in segments:
        if isinstance(part, Token) or is_learned != learned:
            if text:
                yield _Segment(text, learned)
            text = ""
        learned = is_learned
        if isinstance(part, Token):
            yield _Segment(part, is_learned)
        else:
            text += part
    if text:
        yield _Segment(text, learned)
