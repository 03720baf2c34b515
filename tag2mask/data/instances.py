"""The one kind of table for proposals, pseudo labels, predictions and ground truth (schema instances/1)."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tag2mask.data import rle
from tag2mask.data.ragged import Unpacked, joined, starts, take_ragged
from tag2mask.data.rle import Rle, Size
from tag2mask.store import store

SCHEMA = "instances/1"
CORRECTIONS = "corrections/1"  # of a JSON of what people decided about the rows of such a table
COLUMNS = {  # one value, or one row of values, per instance
    "id": np.int64, "category": np.int16, "score": np.float32, "bbox": np.float32, "area": np.float64,
    "ignore": np.uint8,
}  # fmt: skip

DIMENSIONS = {
    "image_id": ("image",), "size": ("image", "side"), "first": ("image_start",),
    **{name: ("instance", "corner") if name == "bbox" else ("instance",) for name in COLUMNS},
    "rle_first": ("instance_start",), "rle": ("run",), "void_first": ("void_start",), "void": ("void_run",),
}  # fmt: skip


@dataclass
class Instances:
    """Instance masks of I images, N rows in image order; every array as docs/stores.md lists it.

    image_id : list of I str. size : (I, 2) int32 height, width. first : (I + 1,) int64, rows first[i]:first[i + 1]
    belong to image i. bbox : (N, 4) float32 x, y, width, height in pixels. ignore : 0 counted, 1 crowd, 2 difficult.
    rle : (R,) uint32 COCO run lengths, those of row n at rle_first[n]:rle_first[n + 1]; void likewise per image. Of
    a table that was opened it lies on the disk; what looks at one photo after another is the same for both.
    """

    categories: dict[int, str]
    image_id: list[str]
    size: np.ndarray
    first: np.ndarray
    id: np.ndarray
    category: np.ndarray
    score: np.ndarray
    bbox: np.ndarray
    area: np.ndarray
    ignore: np.ndarray
    rle_first: np.ndarray
    rle: np.ndarray
    void_first: np.ndarray
    void: np.ndarray

    schema = SCHEMA
    dims = DIMENSIONS

    def __len__(self) -> int:
        return len(self.id)

    @property
    def images(self) -> int:
        return len(self.image_id)

    @property
    def image_of_row(self) -> np.ndarray:
        """(N,) int64: the image of each row."""
        return np.repeat(np.arange(self.images), np.diff(self.first))

    def rows(self, i: int) -> slice:
        """The slice of rows of image i."""
        return slice(int(self.first[i]), int(self.first[i + 1]))

    def numbers(self, i: int) -> np.ndarray:
        """(n,) int64: the numbers of the rows of image i."""
        return np.arange(self.first[i], self.first[i + 1])

    def rles(self, rows: slice | np.ndarray) -> list[Rle]:
        """Compressed RLE dicts of `rows`: a slice, or an array of row numbers or flags."""
        numbers = self.asked(rows)
        sizes = self.size[np.searchsorted(self.first, numbers, side="right") - 1]
        return [
            rle.from_counts(self.rle[self.rle_first[n] : self.rle_first[n + 1]], size)
            for n, size in zip(numbers, sizes)
        ]

    def asked(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n,) int64: row numbers of `rows`. A slice costs its own length, not the table's."""
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows)
        return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)

    def masks(self, i: int, rows: slice | np.ndarray | None = None, *, within: int | None = None) -> np.ndarray:
        """(n, H, W) bool: the masks of image i, or those of its `rows`.

        within : see `rle.decode`.
        """
        return rle.decode(self.rles(self.rows(i) if rows is None else rows), self.size[i], within=within)

    def mask(self, row: int) -> np.ndarray:
        """(H, W) bool: the mask of one row."""
        return rle.decode(self.rles(slice(row, row + 1)), (0, 0))[0]

    def void_rle(self, i: int) -> Rle | None:
        """The void pixels of image i as RLE, or None where it has none."""
        counts = self.void[self.void_first[i] : self.void_first[i + 1]]
        return rle.from_counts(counts, self.size[i]) if len(counts) else None

    def void_mask(self, i: int, *, within: int | None = None) -> np.ndarray:
        """(H, W) bool: the void pixels of image i; within : see `rle.decode`."""
        void = self.void_rle(i)
        return np.asarray(rle.decode([] if void is None else [void], self.size[i], within=within).any(0))

    def select(self, keep: np.ndarray | Sequence[int]) -> "Instances":
        """The rows where `keep` ((N,) bool) holds, or the row numbers `keep` in their order; all images stay.

        Row numbers must not leave image order.
        """
        numbers = self.asked(np.asarray(keep))
        image = self.image_of_row[numbers]
        if np.any(np.diff(image) < 0):
            raise ValueError("rows must stay in image order")
        runs, rle_first = take_ragged(self.rle, self.rle_first, numbers)
        first = np.searchsorted(image, np.arange(self.images + 1)).astype(np.int64)
        columns = {name: getattr(self, name)[numbers] for name in COLUMNS}
        return self.replaced(first=first, rle=runs, rle_first=rle_first, **columns)

    def images_subset(self, images: ArrayLike) -> "Instances":
        """The images `images` (numbers, in the wanted order) with their rows."""
        images = np.asarray(images, np.int64)
        counts = np.diff(self.first)[images]
        rows = take_ragged(np.arange(len(self)), self.first, images)[0]
        runs, rle_first = take_ragged(self.rle, self.rle_first, rows)
        void, void_first = take_ragged(self.void, self.void_first, images)
        columns = {name: getattr(self, name)[rows] for name in COLUMNS}
        return self.replaced(
            image_id=[self.image_id[i] for i in images], size=self.size[images], first=starts(counts),
            rle=runs, rle_first=rle_first, void=void, void_first=void_first, **columns,
        )  # fmt: skip

    def merged(self, other: "Instances") -> "Instances":
        """The rows of both tables, which are of the same images; of each image those of `self` first. Void is kept."""
        image = np.concatenate([self.image_of_row, other.image_of_row])
        order = np.argsort(image, kind="stable")
        lengths = np.concatenate([np.diff(self.rle_first), np.diff(other.rle_first)])
        runs, rle_first = take_ragged(joined([self.rle, other.rle]), starts(lengths), order)
        columns = {name: np.concatenate([getattr(self, name), getattr(other, name)])[order] for name in COLUMNS}
        return self.replaced(first=self.first + other.first, rle=runs, rle_first=rle_first, **columns)

    def replaced(self, **fields: Any) -> "Instances":
        """A copy with some fields replaced."""
        return Instances(**{**self.__dict__, **fields})

    @classmethod
    def concat(cls, tables: "Sequence[Instances]") -> "Instances":
        """All images and rows of `tables`, one after another; ids are kept."""
        if not tables:
            raise ValueError("concat needs at least one table")

        def of_all(name: str) -> Any:
            return joined([getattr(t, name) for t in tables])

        def joined_starts(name: str) -> np.ndarray:
            return starts(np.concatenate([np.diff(getattr(t, name)) for t in tables]))

        return cls(
            categories=tables[0].categories, image_id=[name for t in tables for name in t.image_id],
            size=of_all("size"), first=joined_starts("first"), rle_first=joined_starts("rle_first"),
            rle=of_all("rle"), void_first=joined_starts("void_first"), void=of_all("void"),
            **{name: of_all(name) for name in COLUMNS},
        )  # fmt: skip

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("size", "first", *COLUMNS, "rle_first", "rle", "void_first", "void")
        return {
            "image_id": np.array(self.image_id, dtype=str),
            **{name: getattr(self, name) for name in names},
        }

    def attrs(self) -> dict[str, Any]:
        return {"categories": {str(key): name for key, name in self.categories.items()}}

    def counts(self) -> dict[str, int]:
        return {"images": self.images, "instances": len(self)}

    def save(self, path: str | Path) -> None:
        store.write(self, path)

    @classmethod
    def open(cls, path: str | Path) -> "Instances":
        """As `load`, but the run lengths stay on the disk: for the tables of whole datasets, a row takes 60 bytes."""
        return cls.load(path, left=("rle",))

    def unpacked(self) -> "Instances":
        """The same, to be read in any order: run lengths that stay on the disk lie there as they are."""
        return self if isinstance(self.rle, np.ndarray) else self.replaced(rle=Unpacked(self.rle))

    @classmethod
    def load(cls, path: str | Path, *, left: Sequence[str] = ()) -> "Instances":
        """The table at `path` (`.zarr.zip` or directory), checked against its manifest.

        left : names of arrays that stay on the disk.
        """
        arrays, attrs, _ = store.read(path, SCHEMA, left=left)
        categories = {int(key): name for key, name in attrs["categories"].items()}
        return cls(categories, [str(name) for name in arrays.pop("image_id")], **arrays)


class InstancesBuilder:
    """Collects images one by one; `finish()` gives the table."""

    def __init__(self, categories: Mapping[int, str]) -> None:
        self.categories = {int(key): str(name) for key, name in categories.items()}
        self.image_id: list[str] = []
        self.size: list[tuple[int, int]] = []
        self.number: list[int] = []
        self.next_id = 1
        self.columns: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
        self.runs = array("I")  # as one that grows, so that they never lie in memory twice
        self.lengths: list[int] = []
        self.voids: list[np.ndarray] = []

    def add(
        self,
        image_id: str,
        size: Size,
        masks: np.ndarray | list[Rle],
        *,
        category: ArrayLike,
        score: ArrayLike | None = None,
        bbox: ArrayLike | None = None,
        area: ArrayLike | None = None,
        ignore: ArrayLike | None = None,
        id: ArrayLike | None = None,
        void: ArrayLike | None = None,
    ) -> None:
        """One image with its n instances.

        masks : (n, H, W) bool or uint8, or a list of n RLE dicts. category : (n,) int, or one int for all.
        score, ignore : (n,), default 1 and 0. bbox : (n, 4), default the masks' tight boxes. area : (n,), default
        pixels. id : (n,), default running from 1. void : (H, W) bool or None.
        """
        rles = masks if isinstance(masks, list) else rle.encode(masks)
        n = len(rles)
        for one in rles:
            if tuple(one["size"]) != (int(size[0]), int(size[1])):
                raise ValueError(f"a mask of image {image_id} is {one['size']}, the image is {tuple(size)}")
        given = {
            "id": np.arange(self.next_id, self.next_id + n) if id is None else id,
            "category": np.full(n, category) if np.ndim(category) == 0 else category,
            "score": np.ones(n) if score is None else score,
            "bbox": rle.to_bbox(rles) if bbox is None else bbox,
            "area": rle.area(rles) if area is None else area,
            "ignore": np.zeros(n) if ignore is None else ignore,
        }
        for name, values in given.items():
            shape = (n, 4) if name == "bbox" else (n,)
            self.columns[name].append(np.asarray(values, COLUMNS[name]).reshape(shape))
        self.next_id += n
        self.image_id.append(str(image_id))
        self.size.append((int(size[0]), int(size[1])))
        self.number.append(n)
        for one in rles:
            counts = rle.to_counts(one)
            self.runs.frombytes(counts.tobytes())
            self.lengths.append(len(counts))
        empty = void is None or not np.any(void)
        self.voids.append(np.zeros(0, np.uint32) if empty else rle.to_counts(rle.encode(np.asarray(void)[None])[0]))

    def finish(self) -> Instances:
        """The Instances table of everything added; nothing can be added after it."""

        def whole(parts: list[np.ndarray], shape: Any, dtype: type) -> np.ndarray:
            return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(shape, dtype)

        return Instances(
            categories=self.categories, image_id=self.image_id,
            size=np.array(self.size, np.int32).reshape(-1, 2), first=starts(self.number),
            rle_first=starts(self.lengths),
            rle=np.frombuffer(self.runs, np.uint32) if self.runs else np.zeros(0, np.uint32),
            void_first=starts([len(runs) for runs in self.voids]), void=whole(self.voids, 0, np.uint32),
            **{
                name: whole(parts, (0, 4) if name == "bbox" else 0, COLUMNS[name])
                for name, parts in self.columns.items()
            },
        )  # fmt: skip
