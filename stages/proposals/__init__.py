"""`proposals`: class-agnostic segment proposals of every photo, made without learning, by SAM, or imported.

`run` makes those of a shard's training photos, `predict` those of the validation photos, for networks that answer with
proposals. Both write an instance table: category 0, rows of a photo in rank order, score the rank score in (0, 1]. The
ranking formula stands in docs/papers.md as ours.
"""


def run(inputs, config, job):
    """{"proposals": Instances} for the photos of shard `job.shard`. inputs.index : path of the index.

    Raises UserError where an imported list lacks a photo or a mask is of another size than its photo.
    """
    from stages.proposals.imported import absent
    from tag2mask.data.index import Index
    from tag2mask.errors import UserError

    index = Index.load(inputs.index)
    table, missing = table_of(index, index.of_shard(job.shard), config, job, stop=True)
    if missing:
        raise UserError(absent(missing[0], config=config))
    return {"proposals": table}


def predict(inputs, config, job):
    """{"held_out": Instances} of the validation photos, by the same code. inputs.index : path of the index.

    A photo that an imported list lacks has none, with one warning for all of them: nothing is learned from it.
    """
    from tag2mask.data.index import Index

    index = Index.load(inputs.index)
    photos = index.where("val")
    table, missing = table_of(index, photos, config, job)
    if missing:
        job.warn(
            f"{len(missing)} of {len(photos)} validation photos have no proposals in {config.path}, the first is "
            f"{missing[0]}: a network that answers with proposals finds nothing there; add them, or make all with "
            "source: hierarchy."
        )
    return {"held_out": table}


def table_of(index, photos, config, job, *, stop=False):
    """(Instances of `photos`, list of the ids that an imported list lacks). photos : places in the index.

    stop : whether to end at the first id that is lacking.
    """
    from stages.proposals import imported, ranking
    from tag2mask.data.instances import InstancesBuilder

    own = config.source in ("hierarchy", "sam")
    if not own:
        index.tell_turned(photos, job, f"proposals in {config.path}")
    source = proposer(config, job) if own else imported.open_source(config)
    builder, missing = InstancesBuilder({}), []
    for i in job.progress(photos, total=len(photos), what="proposals"):
        name, size = index.image_id[i], tuple(index.size[i].tolist())
        if own:
            rles, score = source(index.photo(i))
        else:
            found = source(name, size)
            if found is None:
                missing.append(name)
                if stop:
                    break
            rles = imported.select(found or [], config=config)
            score = ranking.scores(len(rles), count=config.count)
        builder.add(name, size, rles, category=0, score=score)
    table = builder.finish()
    job.count(photos=len(photos), proposals=len(table))
    return table, missing


def proposer(config, job):
    """A function: photo (H, W, 3) uint8 RGB -> (list of n RLE dicts, score (n,) float32), best first."""
    if config.source == "sam":
        from stages.proposals import sam
        from tag2mask.learn.loop import start

        start(job)
        return sam.proposer(config, device=job.device)
    return lambda photo: proposed(photo, config=config)


def proposed(photo, *, config):
    """(list of n RLE dicts, score (n,) float32) of `photo` (H, W, 3) uint8 RGB, best first.

    A photo with a longer side than config.max_side is scaled down for the work; its masks are of its own size.
    """
    import numpy as np

    from stages.proposals.cues import run_lengths
    from stages.proposals.hierarchy import propose
    from tag2mask.data import rle
    from tag2mask.data.labelmaps import resized

    membership, labels, score = propose(bounded(photo, config.max_side), config=config)
    labels = resized(labels.astype(np.min_scalar_type(labels.max())), photo.shape[:2])
    return [rle.from_counts(runs, labels.shape) for runs in run_lengths(membership, labels)], score


def bounded(photo, most):
    """`photo` (H, W, 3) uint8 with no side of more than `most` pixels, by area averaging where it has one."""
    import cv2

    height, width = photo.shape[:2]
    if max(height, width) <= most:
        return photo
    factor = most / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def alone(photo, section):
    """(list of n RLE dicts, score (n,) float32) of any photo, outside a run, best first: `registry.alone` gives it.

    photo : (H, W, 3) uint8 RGB. section : the stage's keys as a plain dict, as the manifest of a run's proposals has
    them in section.config; those not given are the defaults. Imported proposals exist for known photos only, so that
    for a run that has these they are made here (`hierarchy`), by the other keys.
    """
    from stages.proposals.config import Config
    from tag2mask.run.config import parse
    from tag2mask.run.job import Job

    made_here = section.get("source") == "sam"
    keys = {key: value for key, value in section.items() if made_here or key not in ("source", "path")}
    return proposer(parse(Config, keys, where="proposals"), Job())(photo)
