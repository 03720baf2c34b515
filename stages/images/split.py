"""A validation split by names and looks: what belongs together stays on one side."""

import hashlib
import re
from collections import Counter, defaultdict

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Bits of 64 up to which two photos are one: of 300 photos of COCO, copies of half the size or of JPEG quality 40 differ
# in at most 5, no two different ones in less than 8.
SAME = 5
BLOCK = 1024  # photos whose looks are compared with all others at once
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


def look(photo):
    """The difference hash of `photo` (H, W, 3) uint8 RGB as uint64: whether it gets brighter, over 8 x 8 steps right.

    Source: N. Krawetz, "Kind of like that", 2013 (dHash).
    """
    grey = cv2.resize(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    return np.packbits(grey[:, 1:] > grey[:, :-1]).view(np.uint64)[0]


def alike(looks, *, most=SAME):
    """(P, 2) int64: the pairs i < j of looks (N,) uint64 that differ in at most `most` bits."""
    found = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(looks), BLOCK):
        differ = np.bitwise_count(looks[start : start + BLOCK, None] ^ looks[None, start:])
        i, j = np.nonzero(differ <= most)
        found.append(np.stack([i, j], 1)[i < j] + start)
    return np.concatenate(found)


def hold_out(entries, looks, share, job):
    """Make about `share` of the training photos validation photos, in place; see `held_out`.

    entries : list of Entry. looks : as many uint64, see `look`.
    """
    chosen = [(one, seen) for one, seen in zip(entries, looks) if one.train]
    pairs = alike(np.array([seen for _, seen in chosen], np.uint64))
    ids = [one.image_id for one, _ in chosen]
    held = held_out({one.image_id: one.tags for one, _ in chosen}, share, [(ids[i], ids[j]) for i, j in pairs])
    for one, _ in chosen:
        if one.image_id in held:
            one.train, one.val = False, True
    job.count(near_duplicates=len(np.unique(pairs)))
    job.log.info("%d of %d photos are held out (dataset.val_share)", len(held), len(chosen))


def joined(parts, pairs):
    """`parts`, (name, ids) each, those of a pair of ids together under their first name.

    Parts that would be more than half of all photos, as of a camera that does not move, stay as they are.
    """
    place = {one: k for k, (_, members) in enumerate(parts) for one in members}
    ends = np.array([(place[a], place[b]) for a, b in pairs], np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(pairs), bool), tuple(ends)), shape=(len(parts),) * 2)
    groups = defaultdict(list)
    for part, label in zip(parts, connected_components(links, directed=False)[1]):
        groups[label].append(part)
    found = []
    for group in groups.values():
        members = [one for _, own in group for one in own]
        found += group if 2 * len(members) > len(place) else [(group[0][0], members)]
    return found


def held_out(tags, share, pairs=()):
    """Set of ids: about `share` of the photos.

    tags : {id: category ids}. pairs : of ids that look alike and stay on one side, with their series. Series (copies of
    a photo, frames of one video) are held out whole, in an order that their names alone decide; a series of more than
    half of all photos, as a camera numbers them, in runs of consecutive numbers. No class loses its last training
    photo. At least one photo is held out where that allows it.
    """
    wanted = max(1, round(share * len(tags)))
    of_series = defaultdict(list)
    for one in sorted(tags, key=series):
        of_series[series(one)[0]].append(one)
    parts = []
    for name, members in of_series.items():
        step = wanted if len(members) > len(tags) / 2 else len(members)
        parts += [(f"{name} {k}", run) for k, run in enumerate(runs(members, step))]
    parts = joined(parts, pairs)
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
