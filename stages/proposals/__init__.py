"""`proposals`: class-agnostic segment proposals of every photo: made without learning, led by edges and saliency that
learned from other photos, made by SAM, or imported.

`run` makes those of a shard's training photos, `predict` those of the validation photos, for networks that answer with
proposals. Both write an instance table: category 0, rows of a photo in rank order, score the rank score in (0, 1]. The
ranking formula stands in docs/papers.md as ours.
"""


def run(inputs, config, job):
    """{"proposals": Instances} for the photos of shard `job.shard`.

    inputs : paths of index and, where the configuration asks for them, edges (maps/1) and salient (instances/1). Raises
    UserError where an imported list or the edges lack a photo or a mask is of another size than its photo.
    """
    from tag2mask.data.index import Index
    from tag2mask.errors import UserError

    index = Index.load(inputs.index)
    table, missing = table_of(index, index.of_shard(job.shard), inputs, config, job, stop=True)
    if missing:
        raise UserError(absent(missing[0], config=config))
    return {"proposals": table}


def predict(inputs, config, job):
    """{"held_out": Instances} of the validation photos, by the same code.

    inputs : as for `run`, with held_out_edges and held_out_salient in place of edges and salient. A photo that an
    imported list or the edges lack has none, with one warning for all of them: nothing is learned from it.
    """
    from tag2mask.data.index import Index

    index = Index.load(inputs.index)
    photos = index.where("val")
    table, missing = table_of(index, photos, inputs, config, job, prefix="held_out_")
    if missing:
        hierarchy = config.source == "hierarchy"
        what = "edges" if hierarchy else f"proposals in {config.path}"
        job.warn(
            f"{len(missing)} of {len(photos)} validation photos have no {what}, the first is {missing[0]}: a network "
            "that answers with proposals finds nothing there; add them, or make all with source: "
            f"{'hed (section edges)' if hierarchy else 'hierarchy'}."
        )
    return {"held_out": table}


def absent(name, *, config):
    """One sentence: the training photo `name` is lacking in what its proposals come from."""
    from stages.proposals import imported

    if config.source == "hierarchy":
        return f"The edges hold no map of the photo {name}: add it, or set proposals.edges: false."
    return imported.absent(name, config=config)


def table_of(index, photos, inputs, config, job, *, prefix="", stop=False):
    """(Instances of `photos`, list of the ids that have no source), places in the index.

    prefix : of the names of the inputs that lead. stop : whether to end at the first id that is lacking.
    """
    from tag2mask.data.instances import InstancesBuilder

    source = source_of(index, inputs, config, job, prefix=prefix)
    if config.source not in ("hierarchy", "sam"):
        index.tell_turned(photos, job, f"proposals in {config.path}")
    builder, missing = InstancesBuilder({}), []
    for i in job.progress(photos, total=len(photos), what="proposals"):
        found = source(i)
        if found is None:
            missing.append(index.image_id[i])
            if stop:
                break
        rles, score = found or ([], [])
        builder.add(index.image_id[i], tuple(index.size[i].tolist()), rles, category=0, score=score)
    table = builder.finish()
    job.count(photos=len(photos), proposals=len(table))
    return table, missing


def source_of(index, inputs, config, job, *, prefix):
    """A function: place in the index -> (list of RLE dicts, score), best first, or None where the source lacks it."""
    from stages.proposals import imported, leads, ranking

    if config.source == "hierarchy":
        leading = leads.opened(inputs, config, prefix=prefix)

        def made(i):
            keywords = leading(index.image_id[i])
            return None if keywords is None else proposed(index.photo(i, within=None), config=config, **keywords)

        return made
    if config.source == "sam":
        segment = by_sam(config, job)
        return lambda i: segment(index.photo(i, within=None))
    given = imported.open_source(config)

    def chosen(i):
        found = given(index.image_id[i], tuple(index.size[i].tolist()))
        if found is None:
            return None
        rles = imported.select(found, config=config)
        return rles, ranking.scores(len(rles), count=config.count)

    return chosen


def by_sam(config, job):
    """A function: photo (H, W, 3) uint8 RGB -> (list of n RLE dicts, score (n,) float32), best first."""
    from stages.proposals import sam
    from tag2mask.learn.loop import start

    start(job)
    return sam.proposer(config, device=job.device)


def proposed(photo, *, config, **leads):
    """(list of n RLE dicts, score (n,) float32) of `photo` (H, W, 3) uint8 RGB, best first; leads : see `propose`.

    A photo with a longer side than config.max_side is scaled down for the work; its masks are of its own size.
    """
    import numpy as np

    from stages.proposals.cues import run_lengths
    from stages.proposals.hierarchy import propose
    from tag2mask.data import rle
    from tag2mask.data.scale import resized, scaled_down, size_within

    small = scaled_down(photo, size_within(photo.shape[:2], config.max_side))
    size = small.shape[:2]
    if "salient" in leads and small is not photo:
        masks = [resized(mask.astype(np.uint8), size) for mask in leads["salient"]]
        leads["salient"] = np.array(masks, bool).reshape(-1, *size)
    membership, labels, score = propose(small, config=config, **leads)
    labels = resized(labels.astype(np.min_scalar_type(labels.max())), photo.shape[:2])
    return [rle.from_counts(runs, labels.shape) for runs in run_lengths(membership, labels)], score


def alone(photo, section):
    """(list of n RLE dicts, score (n,) float32) of any photo, outside a run, best first: `registry.alone` gives it.

    photo : (H, W, 3) uint8 RGB. section : the stage's keys as a plain dict, as the manifest of a run's proposals has
    them in section.config; those not given are the defaults. Imported proposals exist for known photos only, so that
    for a run that has these they are made here (`hierarchy`), by the other keys. Edges and salient instances that lead
    them are made on the way.
    """
    from stages.proposals import leads
    from stages.proposals.config import Config
    from tag2mask.run.config import parse
    from tag2mask.run.job import Job

    made_here = section.get("source") == "sam"
    keys = {key: value for key, value in section.items() if made_here or key not in ("source", "path")}
    config = parse(Config, keys, where="proposals")
    if made_here:
        return by_sam(config, Job())(photo)
    return proposed(photo, config=config, **leads.alone(photo, config))
