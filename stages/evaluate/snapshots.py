"""True positives of the labels that a network refines, over its training (BESTIE, Fig. 6)."""

from stages.evaluate import measures, voc
from stages.evaluate.overlaps import align, overlaps


def over_time(truth, table, *, progress=None):
    """[{"iteration", "photos", "objects", "instances", "true_positives", "mAP50"}] in order of the iterations.

    truth : Instances of the photos with masks. table : Instances whose image ids are "<iteration>/<image id>"; photos
    that `truth` does not hold are left out. A true positive is a hit at a mask IoU of 0.5. Source: BESTIE, Sec. 4.5.
    """
    show = progress or (lambda items, what: items)
    held, place = set(truth.image_id), {}
    for k, name in enumerate(table.image_id):
        iteration, _, photo = name.partition("/")
        if photo in held:
            place.setdefault(int(iteration), {})[photo] = k
    found = []
    for iteration in show(sorted(place), "refined labels"):
        names = list(place[iteration])
        part = measures.subset(truth, names, where="the ground truth")
        own = table.images_subset([place[iteration][name] for name in names]).replaced(image_id=names)
        given = align(part, own)
        lie = overlaps(part, given, top=100)
        categories = sorted(c for c in part.categories if c > 0)
        found.append({
            "iteration": iteration, "photos": part.images, "objects": int(lie.truth_counted.sum()),
            "instances": len(given), "true_positives": int(voc.hits(lie, measures.FOUND)[0].sum()),
            "mAP50": measures.mean(voc.per_class(lie, categories, [measures.FOUND])[:, 0]),
        })  # fmt: skip
    return measures.plain(found) if found else None
