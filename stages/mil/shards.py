"""Regions (proposals, salient instances) and class maps of the same photos, and what is checked about them."""

from pathlib import Path

from tag2mask.data.instances import Instances
from tag2mask.data.maps import Maps
from tag2mask.errors import UserError


def pairs(regions, cam):
    """(Instances, Maps) of each shard. regions, cam : a path each, or lists of paths in the same order."""
    lists = [[one] if isinstance(one, str | Path) else list(one) for one in (regions, cam)]
    if len(lists[0]) != len(lists[1]):
        raise UserError(f"There are {len(lists[0])} stores of regions and {len(lists[1])} of maps: build both again.")
    for first, second in zip(*lists):
        left, right = Instances.load(first), Maps.load(second)
        if left.image_id != right.image_id:
            raise UserError(
                f"{first} and {second} are not of the same photos: build both from the same index and shard."
            )
        yield left, right


def tagged_maps(cam, i, tags, column):
    """(columns, maps) of photo i: the column of each tagged class, and its map, float. UserError where one is missing.

    cam : Maps. tags : category ids. column : category id -> column of p.
    """
    classes, maps = cam.of(i)
    missing = set(tags) - set(classes.tolist())
    if missing:
        raise UserError(
            f"There is no map of class {min(missing)} for the photo {cam.image_id[i]}: build the maps again."
        )
    tagged = [(column[k], one) for k, one in zip(classes.tolist(), maps) if k in tags]
    return [k for k, _ in tagged], [one for _, one in tagged]
