"""A plain artifact: named arrays and attributes under a schema name (peaks, p and f, edges, labels)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tag2mask.store import store


@dataclass
class Table:
    """schema : "name/version". values : name -> ndarray. meta : JSON-able attributes."""

    schema: str
    values: dict[str, np.ndarray]
    meta: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def arrays(self) -> dict[str, np.ndarray]:
        return self.values

    def attrs(self) -> dict[str, Any]:
        return self.meta

    def counts(self) -> dict[str, int]:
        return {name: int(values.shape[0]) for name, values in self.values.items() if values.ndim}

    def save(self, path: str | Path) -> None:
        store.write(self, path)

    @classmethod
    def load(cls, path: str | Path, schema: str) -> "Table":
        """The table at `path`; UserError when it has another schema."""
        arrays, attrs, _ = store.read(path, schema)
        return cls(schema, arrays, attrs)
