"""reference: the bounds of the table. Above: true masks, and proposals labelled by true boxes (LIID, Table 7). Below,
what any method must beat: the whole photo per tag and the first-ranked proposal per tag, made without ground truth.
"""


def run(inputs, config, job):
    """{"instances": Instances} of one shard: all its photos, those without an instance too.

    Without job.shard: of all training photos.

    inputs : index; truth for full and oracle_boxes; proposals for oracle_boxes and top_proposal, or salient where
    config.nodes is that.
    """
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances, InstancesBuilder

    index = Index.load(inputs.index)
    photos = index.of_shard(job.shard)
    make = {"full": full, "oracle_boxes": oracle_boxes, "whole_photo": whole_photo, "top_proposal": top_proposal}
    read = {
        "full": ("truth",),
        "oracle_boxes": ("truth", "proposals"),
        "whole_photo": (),
        "top_proposal": ("proposals",),
    }
    paths = vars(inputs) | ({"proposals": inputs.salient} if config.nodes == "salient" else {})
    stores = {name: Instances.open(paths[name]) for name in read[config.kind]}
    places = {name: {photo: k for k, photo in enumerate(table.image_id)} for name, table in stores.items()}
    builder = InstancesBuilder(index.categories)
    for i in job.progress(photos, total=len(photos), what=f"reference {config.kind}"):
        # (table, its number of this photo) for every store; None where the table has no such photo
        given = {name: (stores[name], place.get(index.image_id[i])) for name, place in places.items()}
        builder.add(index.image_id[i], index.size[i], **make[config.kind](index, i, config, **given))
    return {"instances": builder.finish()}


NOTHING = {"masks": [], "category": ()}


def full(index, i, config, *, truth):
    """The true masks of a training photo that has masks; crowds and difficult objects are no objects to learn."""
    table, k = truth
    if k is None or not index.with_masks[i]:
        return NOTHING
    rows = counted(table, k)
    return {
        "masks": table.rles(rows),
        "category": table.category[rows],
        "bbox": table.bbox[rows],
        "area": table.area[rows],
        "void": table.void_mask(k),
    }


def oracle_boxes(index, i, config, *, truth, proposals):
    """Proposals that a true box labels; score = the overlap of the boxes."""
    from stages.reference.oracle import label_by_boxes

    (table, k), (pool, p) = truth, proposals
    if k is None or p is None or not index.with_masks[i]:
        return NOTHING
    rows, chosen = counted(table, k), pool.numbers(p)
    category, overlap = label_by_boxes(
        pool.bbox[chosen], table.bbox[rows], table.category[rows], box_iou=config.box_iou
    )
    kept = category > 0
    return {"masks": pool.rles(chosen[kept]), "category": category[kept], "score": overlap[kept]}


def whole_photo(index, i, config):
    """One mask per tag, all pixels of the photo; score 1."""
    from tag2mask.data import rle

    tags, size = index.tags(i), index.size[i]
    return {
        "masks": [rle.from_counts([0, int(size[0]) * int(size[1])], size)] * len(tags),
        "category": tags,
    }


def top_proposal(index, i, config, *, proposals):
    """Per tag the proposal ranked first in its photo; score = the rank score."""
    table, p = proposals
    if p is None or table.first[p] == table.first[p + 1]:
        return NOTHING
    tags, first = index.tags(i), int(table.first[p])
    return {
        "masks": table.rles([first]) * len(tags),
        "category": tags,
        "score": [table.score[first]] * len(tags),
    }


def counted(table, k):
    """Row numbers of the objects of image k that are neither crowd nor difficult."""
    rows = table.numbers(k)
    return rows[table.ignore[rows] == 0]
