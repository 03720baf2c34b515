"""What `pseudo_labels` makes of the instances of a recipe: the label store that all recipes share from here on."""

from tag2mask.run import recipes
from tag2mask.run.registry import Job, Stage, Write


def fill(config, view, recipe):
    """NMS where the instances are whole proposals, and nowhere else (LIID, Sec. 5.3)."""
    return config if recipes.whole_proposals(view.plan, recipe) else {**config, "box_nms": None}


STAGE = Stage(
    jobs={"run": Job(writes={"labels": Write("instances/1"), "coco": Write("")})},
    shared=True,
    fill=fill,
    disk_kb=8,
)
