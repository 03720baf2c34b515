"""Stage `graph_cut`: one label per proposal by a multi-way cut of the knowledge graph (LIID, Sec. 5)."""


def run(inputs, config, job):
    """inputs : index, mil and what its nodes are, proposals or salient (one store per shard), edges (absent for
    `solver: argmax`).

    Returns instances: the nodes with a label above 0, category = label, score = p of that label, masks and boxes as
    they are, all photos kept; labels: Table "labels/1" with label (N,) int16 category ids per node, nodes numbered
    through the shards' mil stores, and energy, bound, gap, component_gap, status as attributes (`energy.Solution`).
    """
    from stages.graph_cut import cut

    return cut.cut(inputs, config, job)
