"""Names as people write them, matched to what they mean: photos, ids, classes.

One rule for all: as it is written; else what differs by capitals, Unicode composition or spaces alone; a file also
with a folder too many or too few in front, or without its ending. A name counts only where one thing alone answers it.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import PurePosixPath

SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".heic", ".heif",
)  # fmt: skip


def spelling(name: str) -> str:
    """What two spellings of one name have in common: no capitals, composed accents, single spaces."""
    return unicodedata.normalize("NFC", " ".join(name.split()).casefold())


def slashed(path: str) -> str:
    """A relative path with / between, without `.` and empty parts."""
    return "/".join(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


def bare(path: str) -> str:
    """A path without its ending."""
    return str(PurePosixPath(path).with_suffix("")) if path else path


def photo_ids(paths: Iterable[str]) -> dict[str, str]:
    """{path: id}: a photo's id is its path without the ending, which is kept where it alone tells two photos apart."""
    paths = list(paths)
    times = Counter(bare(path) for path in paths)
    return {path: bare(path) if times[bare(path)] == 1 else path for path in paths}


def spellings(written: Mapping[str, int], known: Iterable[str] = ()) -> dict[str, str]:
    """{name as written: the one spelling of it}: that of `known`, else the most frequent one, of equals the first.

    written : name -> how often. What `known` has in two spellings stands for itself.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in written:
        groups[spelling(name)].append(name)
    own: dict[str, list[str]] = defaultdict(list)
    for name in known:
        own[spelling(name)].append(name)
    found = {}
    for key, names in groups.items():
        given = own.get(key, [])
        best = given[0] if len(given) == 1 else max(sorted(names), key=lambda name: written[name])
        found.update({name: name if name in given else best for name in names})
    return found


def fits(key: str, whole: str, same: Iterable[str]) -> bool:
    """Whether `same` may be meant by `key`: without its ending, only where these have none: a.png is not a.jpg."""
    return key == whole or not any(one.lower().endswith(SUFFIXES) for one in same)


class Names:
    """Photos by name. known : the names as they are, paths of files or ids, with / between.

    `respelled` holds (as written, as it is) of every name that was found otherwise than as written.
    """

    def __init__(self, known: Iterable[str]):
        self.known = dict.fromkeys(known)
        self.respelled: list[tuple[str, str]] = []

    @cached_property
    def _whole(self) -> dict[str, list[str]]:
        """Spelling of a whole path -> the paths that have it; also of the path without its ending."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in self.known:
            found[spelling(name)].append(name)
            if name.lower().endswith(SUFFIXES):
                found[spelling(bare(name))].append(name)
        return found

    @cached_property
    def _ends(self) -> dict[str, list[str]]:
        """Spelling of what is left of a path without some of its folders -> the paths that end so."""
        found: dict[str, list[str]] = defaultdict(list)
        for key, names in self._whole.items():
            parts = key.split("/")
            for k in range(1, len(parts)):
                found["/".join(parts[k:])] += names
        return found

    def candidates(self, written: str) -> list[str]:
        """All that `written` may mean, by the first rule that finds any."""
        if written in self.known:
            return [written]
        name = slashed(written)
        if name in self.known:
            return [name]
        keys = [spelling(name)]
        if name.lower().endswith(SUFFIXES):  # the ids of an index have no ending
            keys.append(spelling(bare(name)))
        for key in keys:
            parts = key.split("/")
            for end in ("/".join(parts[k:]) for k in range(len(parts))):
                same = self._whole.get(end, [])
                if same and fits(key, keys[0], same):
                    return same
        ends = ((key, self._ends.get(key, [])) for key in keys)
        return next((same for key, same in ends if same and fits(key, keys[0], same)), [])

    def find(self, written: str) -> str | None:
        """The one name that `written` means, or None where there is none or more than one."""
        found = self.candidates(written)
        if len(found) != 1:
            return None
        if found[0] != written:
            self.respelled.append((written, found[0]))
        return found[0]

    def sentence(self, where: str) -> str | None:
        """What was found under another spelling, for a warning; None where all names are as written."""
        told = [pair for pair in self.respelled if slashed(pair[0]) != pair[1]]
        if not told:
            return None
        return (
            f"{len(told)} names in {where} differ from the photos' in capitals, accents, folder or ending and were "
            f"matched, the first is {told[0][0]} for {told[0][1]}."
        )
