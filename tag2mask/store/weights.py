"""Trained weights in one file that unpickles nothing but tensors and plain values."""

import io
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tag2mask.errors import UserError
from tag2mask.store import store

if TYPE_CHECKING:
    import torch

SCHEMA = "weights/1"


class Weights:
    """meta : JSON-able dict, everything that is needed to build the network. tensors : name -> Tensor on the CPU."""

    schema = SCHEMA

    def __init__(self, meta: dict[str, Any], tensors: "Mapping[str, torch.Tensor]") -> None:
        self.meta = meta
        self.tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.atleast_1d(tensor.numpy()) for name, tensor in self.tensors.items()}

    def attrs(self) -> dict[str, Any]:
        return self.meta

    def counts(self) -> dict[str, int]:
        return {
            "tensors": len(self.tensors),
            "parameters": int(sum(t.numel() for t in self.tensors.values())),
        }

    def fill(self, model: "torch.nn.Module") -> None:
        """Give `model` (torch.nn.Module) these tensors; UserError when they are not those of that network."""
        try:
            model.load_state_dict(self.tensors)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            first = textwrap.shorten(first, 200, placeholder=" ...")
            raise UserError(
                f"These weights are not those of the {self.meta.get('kind')} network that they describe ({first}); "
                "train it again."
            ) from None

    def save(self, path: str | Path) -> None:
        """Write to `path` (.pt) as `.part`, then rename."""
        save_tensors({"schema": SCHEMA, "meta": self.meta, "tensors": self.tensors}, path)

    @classmethod
    def load(
        cls, path: str | Path, kind: str | None = None, *, categories: Mapping[int, str] | None = None
    ) -> "Weights":
        """The weights at `path`; UserError when they are not ours, not of `kind` (meta["kind"]), or were trained on
        other classes than `categories` (meta["categories"])."""
        content = load_tensors(path)
        found = content.get("schema") if isinstance(content, dict) else None
        if found != SCHEMA or not all(isinstance(content.get(key), dict) for key in ("meta", "tensors")):
            raise UserError(
                f"{path} is not a weights file that this version of tag2mask reads ({SCHEMA!r}, found {found!r}); "
                "train the stage again, or name a file that it wrote."
            )
        weights = cls(content["meta"], content["tensors"])
        if kind is not None and weights.meta.get("kind") != kind:
            raise UserError(f"{path} holds weights of {weights.meta.get('kind')!r}, needed are those of {kind!r}.")
        if categories is not None and weights.meta["categories"] != {str(c): categories[c] for c in sorted(categories)}:
            raise UserError(f"{path} was trained on other classes than the index has; train it again.")
        store.verify(path, weights.arrays())
        return weights


def save_tensors(content: dict[str, Any], path: str | Path) -> None:
    """Write tensors and plain values to `path` as `.part`, then rename. Raises OSError as it comes (disk full)."""
    import torch

    memory = io.BytesIO()
    torch.save(content, memory)  # to a file it would answer a full disk with an error of its own
    with store.atomic(path) as part:
        part.write_bytes(memory.getbuffer())


def load_tensors(path: str | Path) -> Any:
    """What a `.pt`/`.pth` file holds, loaded with weights_only=True; one sentence for anything else."""
    import torch

    path = Path(path)
    if not path.is_file():
        raise UserError(f"The weights file {path} does not exist; name an existing file.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"The weights file {path} cannot be read ({error.strerror}).") from None
    except Exception as error:  # a file that is something else makes torch raise nearly anything
        if "unsupported global" in str(error).lower():
            found = "would run code when loaded and was refused"
        else:
            found = "is damaged, or holds no tensors that can be read without running code"
        raise UserError(
            f"The weights file {path} {found}; save a state_dict alone with torch.save, or use a safetensors file."
        ) from None
