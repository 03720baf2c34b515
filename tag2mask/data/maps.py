"""Dense maps of many sizes in one store (schema maps/1): CAMs at network stride, semantic label maps at photo size."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tag2mask.data.ragged import starts
from tag2mask.data.rle import Size
from tag2mask.store import store

SCHEMA = "maps/1"


@dataclass
class Maps:
    """M maps of I images, flat in one array.

    image_id : list of I str. size : (I, 2) int32, photo height and width. image : (M,) int32, sorted. category :
    (M,) int16, 0 where a map is not of one class. height, width : (M,) int32, the maps' own. data : flat values.
    """

    image_id: list[str]
    size: np.ndarray
    image: np.ndarray
    category: np.ndarray
    height: np.ndarray
    width: np.ndarray
    data: np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)

    schema = SCHEMA

    def __post_init__(self) -> None:
        self.offset = starts(self.height.astype(np.int64) * self.width)
        self.first = np.searchsorted(self.image, np.arange(len(self.image_id) + 1))

    def __len__(self) -> int:
        return len(self.image)

    @property
    def images(self) -> int:
        return len(self.image_id)

    def map(self, k: int) -> np.ndarray:
        """Map k, (height[k], width[k])."""
        return self.data[self.offset[k] : self.offset[k + 1]].reshape(self.height[k], self.width[k])

    def of(self, i: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """(categories (n,) int16, list of n maps) of image i."""
        numbers = range(self.first[i], self.first[i + 1])
        return self.category[self.first[i] : self.first[i + 1]], [self.map(k) for k in numbers]

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("size", "image", "category", "height", "width", "data")
        return {
            "image_id": np.array(self.image_id, dtype=str),
            **{name: getattr(self, name) for name in names},
        }

    def attrs(self) -> dict[str, Any]:
        return self.meta

    def counts(self) -> dict[str, int]:
        return {"images": self.images, "maps": len(self)}

    def save(self, path: str | Path) -> None:
        store.write(self, path)

    @classmethod
    def open(cls, path: str | Path) -> "Maps":
        """As `load`, but the maps' values stay on the disk until they are asked for."""
        return cls.load(path, left=("data",))

    @classmethod
    def load(cls, path: str | Path, *, left: Sequence[str] = ()) -> "Maps":
        """The maps at `path` (`.zarr.zip` or directory), checked against their manifest.

        left : names of arrays that stay on the disk.
        """
        arrays, attrs, _ = store.read(path, SCHEMA, left=left)
        return cls([str(name) for name in arrays.pop("image_id")], **arrays, meta=attrs)


class MapsBuilder:
    """Collects the maps of images one by one; `finish()` gives the store."""

    def __init__(self, dtype: DTypeLike, attrs: Mapping[str, Any] | None = None) -> None:
        self.dtype, self.meta = np.dtype(dtype), dict(attrs or {})
        self.image_id: list[str] = []
        self.size: list[tuple[int, int]] = []
        self.rows: list[tuple[int, ...]] = []
        self.parts: list[np.ndarray] = []

    def add(self, image_id: str, size: Size, maps: Iterable[tuple[int, np.ndarray]]) -> None:
        """maps : list of (category, (h, w) array) of one image of `size` (height, width)."""
        for category, values in maps:
            self.rows.append((len(self.image_id), int(category), *values.shape))
            self.parts.append(np.asarray(values, self.dtype).ravel())
        self.image_id.append(str(image_id))
        self.size.append((int(size[0]), int(size[1])))

    def finish(self) -> Maps:
        """The Maps of everything added."""
        rows = np.array(self.rows, np.int64).reshape(-1, 4)
        return Maps(
            self.image_id, np.array(self.size, np.int32).reshape(-1, 2), rows[:, 0].astype(np.int32),
            rows[:, 1].astype(np.int16), rows[:, 2].astype(np.int32), rows[:, 3].astype(np.int32),
            np.concatenate(self.parts) if self.parts else np.zeros(0, self.dtype), self.meta,
        )  # fmt: skip
