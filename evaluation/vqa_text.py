"""The normalisation of answers that VQA accuracy compares after.

Source: the evaluation protocol of VQA (Antol et al., arXiv 1505.00468; Goyal et al., arXiv 1612.00837). Its
steps, in order: white space; punctuation; lower case; numbers up to ten as digits; articles dropped; lost
apostrophes put back.
Differences from the published evaluation: both sides are always normalised, where it leaves them as they are
if all people agree; every full stop is looked at, where it stops after 32; "somebody'd" keeps its apostrophe.
"""

import re
from typing import Final

PUNCTUATION: Final = ';/[]"{}()=+\\_-><@`,?!'
ARTICLES: Final = frozenset({"a", "an", "the"})
DIGITS: Final = {
    "none": "0",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
    he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've
    must've mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't
    shouldn't've somebody'd somebody'd've somebody'll somebody's someone'd someone'd've someone'll
    someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
    they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
    when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""
"""Words like "we're" and "she'd" are missing on purpose: without the apostrophe they are other words."""

_LOST: Final = {
    whole[:at] + whole[at + 1 :]: whole
    for whole in _CONTRACTIONS.split()
    for at, letter in enumerate(whole)
    if letter == "'"
}
"""A contraction that lost one apostrophe -> the contraction."""
_LOOSE_STOP = re.compile(r"\.(?!\d)")
_THOUSANDS = re.compile(r"\d,\d")


def normalise_vqa(answer: str) -> str:
    """Return the form in which answers are equal; "The two  dogs." becomes "2 dogs".

    A mark of punctuation that stands beside a space somewhere vanishes, and so do all marks if a comma stands
    between digits; any other mark becomes a space. Full stops vanish unless a digit follows.
    """
    text = answer.replace("\n", " ").replace("\t", " ").strip()
    drop_all = _THOUSANDS.search(text) is not None
    clean = text
    for mark in PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        clean = clean.replace(mark, "" if drop_all or beside_space else " ")
    numbered = (DIGITS.get(word, word) for word in _LOOSE_STOP.sub("", clean).lower().split())
    return " ".join(_LOST.get(word, word) for word in numbered if word not in ARTICLES)
