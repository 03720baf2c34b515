"""The index of a dataset (schema index/1): ids, photos, tags and split names, and nothing else. No box, no mask."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tag2mask.data.photo import is_turned, read_photo, turned_sentence
from tag2mask.data.ragged import starts
from tag2mask.data.scale import LARGEST, size_within
from tag2mask.errors import UserError
from tag2mask.store import store

SCHEMA = "index/1"
NEAR = "index.zarr.zip"  # beside stores of photos that no run knows
SPLITS = ("train", "with_masks", "val")


@dataclass
class Index:
    """I photos in the order of their ids.

    image_id : list of I str. path : list of I str, relative to `root`. size : (I, 2) int32 height, width in pixels
    after EXIF rotation. train, with_masks, val : (I,) bool: networks learn from train, labels are measured on
    with_masks, answers of networks on val. shard : (I,) int32 of a photo that gets labels, one of train or with_masks;
    -1 for the others. tag_first : (I + 1,) int64, tag : (T,) int16 category ids > 0, ascending
    within a photo. digest : (I,) uint64 of the photos' bytes. skipped : [(image id, sentence)] of bad photos.
    upright : whether photos are turned as their EXIF says. negative : (I,) bool, photos that show none of the classes;
    they are in no split, for only a classifier learns from them.
    """

    root: Path
    categories: dict[int, str]
    image_id: list[str]
    path: list[str]
    size: np.ndarray
    train: np.ndarray
    with_masks: np.ndarray
    val: np.ndarray
    shard: np.ndarray
    tag_first: np.ndarray
    tag: np.ndarray
    digest: np.ndarray
    skipped: list[tuple[str, str]] = field(default_factory=list)
    upright: bool = True
    negative: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    schema = SCHEMA

    @classmethod
    def build(
        cls,
        root: str | Path,
        categories: Mapping[int, str],
        *,
        image_id: Sequence[str],
        path: Sequence[str],
        size: ArrayLike,
        tags: Iterable[Iterable[int]],
        train: ArrayLike,
        with_masks: ArrayLike | None = None,
        val: ArrayLike | None = None,
        shards: int = 1,
        digest: ArrayLike | None = None,
        skipped: Iterable[tuple[str, str]] = (),
        upright: bool = True,
        negative: ArrayLike | None = None,
    ) -> "Index":
        """An index of photos given in the order of their ids; `shards` equal blocks of those that get labels.

        tags : one sequence of category ids a photo. with_masks, val : (I,) bool, default none. digest : (I,) uint64,
        default 0. Shards differ by at most one photo.
        """
        number = len(image_id)
        train = np.asarray(train, bool)
        none = np.zeros(number, bool)
        with_masks = none if with_masks is None else np.asarray(with_masks, bool)
        shard = np.full(number, -1, np.int32)
        for k, part in enumerate(np.array_split(np.flatnonzero(train | with_masks), shards)):
            shard[part] = k
        own = [sorted(set(one)) for one in tags]
        return cls(
            root=Path(root), categories={int(key): str(name) for key, name in categories.items()},
            image_id=list(image_id), path=list(path), size=np.array(size, np.int32).reshape(-1, 2), train=train,
            with_masks=with_masks,
            val=none if val is None else np.asarray(val, bool), shard=shard,
            tag_first=starts([len(one) for one in own]), tag=np.array([k for one in own for k in one], np.int16),
            digest=np.zeros(number, np.uint64) if digest is None else np.array(digest, np.uint64),
            skipped=[(name, sentence) for name, sentence in skipped], upright=upright,
            negative=none if negative is None else np.asarray(negative, bool),
        )  # fmt: skip

    def __post_init__(self) -> None:
        if not len(self.negative):
            self.negative = np.zeros(len(self.image_id), bool)

    def __len__(self) -> int:
        return len(self.image_id)

    @property
    def images(self) -> int:
        return len(self.image_id)

    @property
    def shards(self) -> int:
        """Number of shards of the photos that get labels."""
        return int(self.shard.max(initial=-1)) + 1

    def tags(self, i: int) -> tuple[int, ...]:
        """The category ids of photo i, ascending; () where it has none."""
        return tuple(self.tag[self.tag_first[i] : self.tag_first[i + 1]].tolist())

    def of_shard(self, k: int | None) -> np.ndarray:
        """(n,) int64: the photos of shard k; None: of all shards, those that get labels."""
        return np.flatnonzero(self.shard >= 0 if k is None else self.shard == k)

    def where(self, split: str) -> np.ndarray:
        """(n,) int64: the photos of the split "train", "with_masks" or "val"."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, not {split!r}")
        return np.flatnonzero(getattr(self, split))

    def file(self, i: int) -> Path:
        """The path of photo i's file."""
        return self.root / self.path[i]

    def photo(self, i: int, *, within: int | None = LARGEST) -> np.ndarray:
        """(H, W, 3) uint8 RGB: photo i, a longer side than `within` scaled down to it; None: as it is.

        UserError when the file is not the one the index was made from.
        """
        photo = read_photo(self.file(i), upright=self.upright, within=within)
        size = self.size[i].tolist()
        if photo.shape[:2] != (tuple(size) if within is None else size_within(size, within)):
            raise UserError(f"{self.file(i)} changed its size since the index was made; run the stage images again.")
        return photo

    def tell_turned(self, photos: Iterable[int], job: Any, what: str) -> None:
        """A warning where EXIF turns some of `photos`: what was drawn on their stored pixels would lie elsewhere.

        what : what comes from outside, as "proposals in FILE".
        """
        turned = [self.path[i] for i in photos if is_turned(self.file(i))] if self.upright else []
        if turned:
            job.warn(turned_sentence(turned, what))

    def arrays(self) -> dict[str, np.ndarray]:
        """All that counts for the content digest; where the photos lie does not."""
        names = ("size", *SPLITS, "shard", "tag_first", "tag", "digest")
        return {
            "image_id": np.array(self.image_id, dtype=str),
            "path": np.array(self.path, dtype=str),
            "category_id": np.array(list(self.categories), np.int16),
            "category_name": np.array(list(self.categories.values()), dtype=str),
            **{name: getattr(self, name) for name in names},
            **({"negative": self.negative} if self.negative.any() else {}),
        }

    def attrs(self) -> dict[str, Any]:
        return {"root": str(self.root), "skipped": [list(one) for one in self.skipped], "upright": self.upright}

    def counts(self) -> dict[str, int]:
        splits = {name: int(getattr(self, name).sum()) for name in SPLITS}
        if self.negative.any():
            splits["negative"] = int(self.negative.sum())
        return {"images": self.images, **splits, "shards": self.shards, "classes": len(self.categories)}

    def save(self, path: str | Path) -> None:
        store.write(self, path)

    @classmethod
    def load(cls, path: str | Path) -> "Index":
        """The index at `path`, checked against its manifest."""
        arrays, attrs, _ = store.read(path, SCHEMA)
        names = [str(name) for name in arrays.pop("category_name")]
        categories = dict(zip(arrays.pop("category_id").tolist(), names))
        image_id, paths = ([str(name) for name in arrays.pop(key)] for key in ("image_id", "path"))
        return cls(
            root=Path(attrs["root"]), categories=categories, image_id=image_id, path=paths,
            skipped=[(name, sentence) for name, sentence in attrs.get("skipped", [])],
            upright=attrs.get("upright", True), **arrays,
        )  # fmt: skip


def index_near(path: str | Path, place: str) -> Index | None:
    """The Index beside the store at `path` or of the run that it lies in, or None.

    place : where an index lies in a run's folder.
    """
    places = (folder / name for folder in Path(path).resolve().parents for name in (NEAR, place))
    found = next((one for one in places if one.is_file()), None)
    return None if found is None else Index.load(found)
