"""evaluate: pseudo labels, predictions and proposals against the ground truth.

mAP at several mask IoUs and average best overlap with void pixels left out, COCO's AP by pycocotools, the mean IoU of
the merged instances and of semantic maps. Pseudo labels and proposals are measured on the photos with masks,
predictions (of Mask R-CNN and of a recipe's own network) and segmentation on the validation split.
Also on its own: `tag2mask evaluate GROUND_TRUTH PREDICTIONS`.
"""

SPLITS = {"labels": "with_masks", "network": "val", "predictions": "val", "segmentation": "val"}


def run(inputs, config, job):
    """{"metrics": {"labels", "network", "predictions", "segmentation", "snapshots", "proposals"}}; None without input.

    inputs : index, truth (paths); labels, network (answers of the recipe's own network), predictions (Mask R-CNN's),
    segmentation (Maps), snapshots (labels over training time): paths or None; proposals (list of paths, one per shard,
    or None). The values are those of `measures.instance_metrics`, `measures.segmentation_metrics`,
    `snapshots.over_time` and `measures.proposal_metrics`.
    """
    from stages.evaluate import measures, snapshots
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances
    from tag2mask.data.maps import Maps

    index, truth = Index.load(inputs.index), Instances.open(inputs.truth)

    held = set(truth.image_id)

    def photos(split):
        return [index.image_id[i] for i in index.where(split) if index.image_id[i] in held]

    def shown(items, what):
        unit = "shards" if what == "proposals" else "photos"
        return job.progress(items, unit=unit, what=f"{what} of {current}")

    metrics = dict.fromkeys(("labels", "network", "predictions", "segmentation", "snapshots", "proposals"))
    for current, split in SPLITS.items():
        path = getattr(inputs, current, None)
        if not path:
            continue
        names = photos(split)
        if not names:
            job.warn(f"the split {split} has no photo with ground truth, so the {current} are not measured.")
            continue
        if len(names) < len(index.where(split)):  # `images` named them
            without = len(index.where(split)) - len(names)
            job.warn(f"{without} photos of split {split} have no ground truth; the {current} are measured on the rest.")
        part = measures.subset(truth, names, where=f"the ground truth of split {split}")
        if current == "segmentation":
            found = measures.segmentation_metrics(part, Maps.open(path), progress=shown)
        else:
            found = measures.instance_metrics(part, Instances.open(path), config, progress=shown)
        missing = found["photos_without_predictions"]
        if missing:
            job.warn(f"{missing} of {len(names)} photos of split {split} are not in the {current}.")
        metrics[current] = found
    current, path = "snapshots", getattr(inputs, "snapshots", None)
    if path and photos("with_masks"):
        part = measures.subset(truth, photos("with_masks"), where="the ground truth of split with_masks")
        metrics["snapshots"] = snapshots.over_time(part, Instances.open(path), progress=shown)
    current, paths = "proposals", getattr(inputs, "proposals", None)
    if paths and photos("with_masks"):
        part = measures.subset(truth, photos("with_masks"), where="the ground truth of split with_masks")
        paths = paths if isinstance(paths, list | tuple) else [paths]
        shards = Shards(paths, Instances.open)
        metrics["proposals"] = measures.proposal_metrics(part, shards, config, progress=shown)
    job.count(**{f"{name}_photos": metrics[name]["photos"] for name in (*SPLITS, "proposals") if metrics[name]})
    return {"metrics": metrics}


class Shards:
    """The tables at `paths`, opened one at a time while iterated over."""

    def __init__(self, paths, load):
        self.paths, self.load = paths, load

    def __len__(self):
        return len(self.paths)

    def __iter__(self):
        return map(self.load, self.paths)
