"""`proposals`: class-agnostic segment proposals of every training photo, made without learning or imported.

Reads the index shard, writes an instance table: category 0, rows of a photo in rank order, score the rank score in
(0, 1]. The ranking formula stands in docs/papers.md as ours.
"""


def run(inputs, config, job):
    """{"proposals": Instances} for the photos of shard `job.shard`. inputs.index : path of the index.

    Raises UserError where an imported list lacks a photo or a mask is of another size than its photo.
    """
    from stages.proposals import imported, ranking
    from tag2mask.data.index import Index
    from tag2mask.data.instances import InstancesBuilder

    index = Index.load(inputs.index)
    photos = index.of_shard(job.shard)
    source = None if config.source == "hierarchy" else imported.open_source(config)
    table = InstancesBuilder({})
    for i in job.progress(photos, total=len(photos), what="proposals"):
        size = tuple(index.size[i].tolist())
        if source is None:
            rles, score = proposed(index.photo(i), config=config)
        else:
            rles = imported.select(source(index.image_id[i], size), config=config)
            score = ranking.scores(len(rles), count=config.count)
        table.add(index.image_id[i], size, rles, category=0, score=score)
    proposals = table.finish()
    job.count(photos=len(photos), proposals=len(proposals))
    return {"proposals": proposals}


def proposed(photo, *, config):
    """(list of n RLE dicts, score (n,) float32) of `photo` (H, W, 3) uint8 RGB, best first."""
    from stages.proposals.cues import run_lengths
    from stages.proposals.hierarchy import propose
    from tag2mask.data import rle

    membership, labels, score = propose(photo, config=config)
    return [rle.from_counts(runs, labels.shape) for runs in run_lengths(membership, labels)], score
