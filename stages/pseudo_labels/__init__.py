"""pseudo_labels: one recipe's instances become the label store that everything after it reads, and its COCO JSON.

The store is an open Zarr directory (docs/stores.md); `coco` loads into any COCO tool.
"""


def run(inputs, config, job):
    """{"labels": Instances, "coco": dict whose lists are iterators} of all photos that get labels, in index order, ids
    1..N. Both are written photo by photo; masks stay on the disk until then, where there are no corrections.

    inputs : index; instances, one store or a list of one a shard.
    """
    import numpy as np

    from stages.pseudo_labels import corrections
    from stages.pseudo_labels.box_nms import box_nms
    from stages.pseudo_labels.settle import settle
    from tag2mask.data.coco import coco_parts
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances

    index = Index.load(inputs.index)
    given = inputs.instances if isinstance(inputs.instances, list) else [inputs.instances]
    labels = Instances.concat([Instances.open(path) for path in given])
    photos = index.of_shard(None)
    place = {name: k for k, name in enumerate(labels.image_id)}
    labels = labels.images_subset([place[index.image_id[i]] for i in photos])
    found = len(labels)
    if config.box_nms is not None:
        keep = np.ones(found, bool)
        for i in job.progress(range(labels.images), total=labels.images, what="box NMS"):
            rows = labels.rows(i)
            keep[rows] = box_nms(labels.bbox[rows], labels.score[rows], labels.category[rows], threshold=config.box_nms)
        labels = labels.select(keep)
    if config.corrections is not None:
        decided = corrections.read(config.corrections, index)
        labels, numbers = settle(labels, decided, iou=config.settled_iou)
        report_corrections(decided, labels, numbers, job)
    labels = labels.replaced(categories=index.categories, id=np.arange(1, len(labels) + 1, dtype=np.int64))
    report(labels, found, index, job)
    return {"labels": labels, "coco": coco_parts(labels, file_names={index.image_id[i]: index.path[i] for i in photos})}


def report_corrections(decided, labels, numbers, job):
    """Counts for the manifest, and a warning where a decision is about nothing."""
    job.count(corrected_photos=len(decided), settled=numbers["settled"], gone=numbers["gone"])
    if numbers["missed"]:
        job.warn(f"{numbers['missed']} rejected masks are no labels any more: this recipe makes others now.")
    others = sorted(set(decided) - set(labels.image_id))
    if others:
        job.warn(f"{len(others)} corrected photos are not for training and teach nothing, the first is {others[0]}.")


def report(labels, found, index, job):
    """Counts for the manifest, and a warning where a class or everything is missing."""
    number = {name: int((labels.category == key).sum()) for key, name in index.categories.items()}
    job.count(before_nms=found, photos_without=int((labels.first[1:] == labels.first[:-1]).sum()), per_class=number)
    tagged = {key for i in index.of_shard(None) for key in index.tags(i)}
    missing = [index.categories[key] for key in sorted(tagged) if not number[index.categories[key]]]
    if missing:
        job.warn(f"No pseudo label of {', '.join(missing)}: these classes cannot be learned.")
