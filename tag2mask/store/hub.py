"""timm's pretrained weights from the Hugging Face Hub (`weights: hub`): its cache's copy, else one download, checked.

While a run is planned `hub` becomes `hub:<repository>@<revision>` (`pinned`), which stands in the section and so in the
manifest: other weights are another section, and what learned from them runs again. A user may write that form too.
Nothing is downloaded before the job that reads it (`fetched`).
"""

import functools
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tag2mask.errors import UserError

FILE = "model.safetensors"
PINNED = re.compile(r"hub:([\w.-]+/[\w.-]+)@([0-9a-f]{40})")
# The weights that a bare name means: those that the papers began with (torchvision's, and HRNet's own), and DINOv2's.
PAPERS = {
    "R-50": "resnet50.tv_in1k",
    "resnet50": "resnet50.tv_in1k",
    "resnet101": "resnet101.tv_in1k",
    "vgg16": "vgg16.tv_in1k",
    "hrnet_w48": "hrnet_w48.ms_in1k",
    "vit_small_patch14_dinov2": "vit_small_patch14_dinov2.lvd142m",
}

# Part of timm's tag: what weights that have it were trained on.
TRAINED_ON = {
    "in1k": "ImageNet", "in12k": "ImageNet-12k", "in21k": "ImageNet-21k", "in22k": "ImageNet-22k",
    "lvd142m": "142 million photos without labels", "lvd1689m": "1.7 billion photos without labels",
}  # fmt: skip


def named(weights: Any) -> bool:
    """Whether the value of a key `weights` means the Hub."""
    return isinstance(weights, str) and (weights == "hub" or weights.startswith("hub:"))


def source(weights: str, architecture: str) -> tuple[str, str]:
    """(repository, revision) that `weights`, one that is `named`, means for a backbone; UserError where it means none.

    architecture : timm's name; with a tag (resnet101.a1h_in1k) that tag's weights are meant, without one those of
    PAPERS.
    """
    if weights == "hub":
        if "." not in architecture and architecture not in PAPERS:
            raise UserError(
                f"weights: hub does not say which weights of {architecture} are meant: name the backbone with timm's "
                f"tag, as resnet101.a1h_in1k, or take {', '.join(PAPERS)}."
            )
        return f"timm/{PAPERS.get(architecture, architecture)}", "main"
    match = PINNED.fullmatch(weights)
    if match is None:
        raise UserError(f"weights: {weights} is not hub:<repository>@<revision>, the revision 40 digits; or write hub.")
    return match[1], match[2]


@functools.cache
def pinned(weights: str, architecture: str) -> str:
    """`weights` as hub:<repository>@<revision>: the revision that the cache has, else the one that the Hub answers.

    Nothing is downloaded. Raises UserError where neither has it.
    """
    repository, revision = source(weights, architecture)
    path = cached(repository, revision)
    return f"hub:{repository}@{path.parent.name if path else asked(repository, revision)}"


def fetched(weights: str, architecture: str) -> Path:
    """The safetensors file, from the cache or downloaded into it, its SHA-256 compared with the Hub's."""
    repository, revision = source(pinned(weights, architecture), architecture)
    path = cached(repository, revision)
    if path is None:
        from huggingface_hub import hf_hub_download

        # by its name where that is the same, so that the cache knows later, offline, what main is
        name = "main" if asked(repository, "main") == revision else revision
        try:
            path = Path(hf_hub_download(repository, FILE, revision=name))
        except Exception as error:  # its HTTP library's own, or a full disk: what came so far stays in the cache
            raise UserError(
                f"The download of the weights {repository} broke off ({error}): run the same command again."
            ) from None
    check(path)
    return path


def cached(repository: str, revision: str) -> Path | None:
    """The file in the Hub's cache, .../snapshots/<revision>/FILE, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, FILE, revision=revision)
    return Path(found) if isinstance(found, str) else None


def asked(repository: str, revision: str) -> str:
    """The commit that the Hub has under this name, by one request; UserError where it has none or cannot be reached."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return str(get_hf_file_metadata(hf_hub_url(repository, FILE, revision=revision)).commit_hash)
    except HfHubHTTPError as error:
        raise UserError(
            f"The Hub does not give {FILE} of {repository} at {revision} (status {error.response.status_code}): "
            "check the backbone's tag and the revision."
        ) from None
    except Exception as error:  # its HTTP library's own, which is another one from version to version
        raise UserError(
            f"The weights {repository} are not in the cache ({constants.HF_HUB_CACHE}), and the Hub cannot be reached "
            f"({error}): run once online, or set `weights` to a local file."
        ) from None


def check(path: Path) -> None:
    """UserError where a file of the cache is not what the Hub sent: large files are kept under their SHA-256."""
    kept = path.resolve()
    with kept.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if re.fullmatch("[0-9a-f]{64}", kept.name) and kept.name != found:
        raise UserError(f"The weights {kept} are damaged, their SHA-256 is not their name: delete them and run again.")


def title(config: Mapping[str, Any]) -> str:
    """What a section's labels rest on, for the table: the weights' name and what timm's tag says they were trained on;
    "" where they are not the Hub's."""
    weights = config.get("weights")
    if not weights or not named(weights):
        return ""
    name = source(weights, config["backbone"])[0].rpartition("/")[2]
    on = [said for part, said in TRAINED_ON.items() if part in name.partition(".")[2]]
    return f"{name} (trained on {' and '.join(on) or 'what its page on the Hub says'})"
