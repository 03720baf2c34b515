"""The table of classes: how many training photos show each, and which are too few or too many to learn from."""

from dataclasses import dataclass

import numpy as np

from tag2mask.data.index import Index

RARE = 20  # ours: photos below which a classifier learns the background instead


@dataclass
class Row:
    """photos : training photos with the tag. alone : of these, photos with no other tag. note : what is odd, or ""."""

    name: str
    photos: int
    alone: int
    note: str


def rows(index: Index) -> list[Row]:
    """A Row a class of the index, in its order."""
    train = index.where("train")
    number = np.diff(index.tag_first)
    photo = np.repeat(np.arange(len(index)), number)
    used = index.train[photo]
    others = len(train) + int(index.negative.sum())
    found = []
    for category, name in index.categories.items():
        shown = photo[used & (index.tag == category)]
        found.append(Row(name, len(shown), int((number[shown] == 1).sum()), note(len(shown), others)))
    return found


def note(photos: int, of: int) -> str:
    """What is odd about a class on `photos` of `of` photos."""
    if photos == 0:
        return "on no photo"
    if photos == of and of > 1:
        return "on every photo: nothing tells it from the background"
    if photos == 1:
        return "on one photo"
    return "rare" if photos < RARE else ""


def lines(table: list[Row]) -> list[str]:
    """The table as lines of text."""
    width = max([len("class"), *(len(row.name) for row in table)])
    head = f"{'class':{width}}  photos  alone"
    return [head, *(f"{row.name:{width}}  {row.photos:6,}  {row.alone:5,}  {row.note}".rstrip() for row in table)]
