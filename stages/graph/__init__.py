"""Stage `graph`: edges between the nearest proposals of images that share a tag (LIID, Sec. 5.2 and 5.3)."""


def run(inputs, config, job):
    """inputs : index, mil (one store per shard). Returns edges: Table "graph/1" with edge (M, 2), cosine (M,).

    Nodes are numbered through the shards' mil stores in their order; edge rows i < j are sorted.
    """
    from stages.graph import build

    return build.build(inputs, config, job)
