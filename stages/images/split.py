"""A validation split by names alone: what belongs together stays on one side."""

import hashlib
import re
from collections import Counter, defaultdict

COPY = re.compile(r"(\.rf\.[0-9a-f]+|[ _-]*\((\d+)\)|[ _-]+(copy|kopie|edited|aug|crop|flip|rot)[ _-]?\d*)+$", re.I)
NUMBER = re.compile(r"^(.*?)[ _.-]*(\d*)$", re.S)


def series(image_id):
    """(series, number) of a photo's id: endings of copies and the last number taken off, -1 where there is none.

    "cam1/frame_000012" -> ("cam1/frame", 12); "a (1)" and "a-edited" -> ("a", -1), as "a".
    """
    name, number = NUMBER.match(COPY.sub("", image_id)).groups()
    return name.lower(), int(number or -1)


def runs(members, step):
    """`members`, sorted ids of one series, in runs of at least `step`; copies of one photo stay together."""
    found = []
    for one in members:
        if not found or (len(found[-1]) >= step and series(found[-1][-1]) != series(one)):
            found.append([])
        found[-1].append(one)
    return found


def held_out(tags, share):
    """Set of ids: about `share` of the photos.

    tags : {id: category ids}. Series (copies of a photo, frames of one video) are held out whole, in an order that
    their names alone decide; a series of more than half of all photos, as a camera numbers them, in runs of consecutive
    numbers. No class loses its last training photo. At least one photo is held out where that allows it.
    """
    wanted = max(1, round(share * len(tags)))
    of_series = defaultdict(list)
    for one in sorted(tags, key=series):
        of_series[series(one)[0]].append(one)
    parts = []
    for name, members in of_series.items():
        step = wanted if len(members) > len(tags) / 2 else len(members)
        parts += [(f"{name} {k}", run) for k, run in enumerate(runs(members, step))]
    parts.sort(key=lambda part: hashlib.blake2b(part[0].encode()).digest())
    left = Counter(category for own in tags.values() for category in own)
    chosen = set()
    for _, members in parts:
        lost = Counter(category for one in members for category in tags[one])
        room = wanted + wanted // 2 - len(chosen)
        if len(members) <= room and all(left[category] > times for category, times in lost.items()):
            chosen.update(members)
            left -= lost
        if len(chosen) >= wanted:
            break
    return chosen
