"""What `pseudo_labels` makes of the instances of a recipe: the label store that all recipes share from here on."""

from tag2mask.run import recipes
from tag2mask.run.registry import Job, Stage, Write


def fill(config, view, recipe):
    """NMS where the instances are whole proposals, and nowhere else (LIID, Sec. 5.3); references are not corrected."""
    nms = config["box_nms"] if recipes.whole_proposals(view.plan, recipe) else None
    corrections = config["corrections"] if recipes.kind(view.plan, recipe) == "method" else None
    return {**config, "box_nms": nms, "corrections": corrections}


STAGE = Stage(
    jobs={"run": Job(writes={"labels": Write("instances/1"), "coco": Write("")})},
    shared=True,
    fill=fill,
    supervision=lambda view: "corrected" if view.config["corrections"] else "",
    disk_kb=8,
    peak_mb=250,
    memory_kb=2,
)
