"""Stage `mil`: class probabilities p and a feature f for the best proposals of every photo (LIID, Sec. 4; Fan, Sec. 3).

`scores: network` trains LIID's network on proposals; `scores: attention` reads p off attention maps and trains Fan's
feature extractor; `scores: cam` trains nothing: p is the mean of the CAM in the box, f the pooled ImageNet feature.
"""


def train(inputs, config, job):
    """inputs : index; for scores network also proposals and cam, of all shards. Returns {"weights": Weights "mil"}.

    Learns from tags alone. Source: LIID, Eq. 2 to 9; Fan, Eq. 3, 4 (`stages.mil.extractor`).
    """
    from tag2mask.data.index import Index
    from tag2mask.errors import UserError

    if config.scores == "cam":
        raise UserError("mil.scores is cam, which trains nothing: set it to network or attention.")
    index = Index.load(inputs.index)
    if config.scores == "attention":
        from stages.mil.extractor import learn

        return {"weights": learn(index, config, job)}
    from stages.mil.learn import learn
    from stages.mil.shards import pairs

    return {"weights": learn(index, pairs(inputs.proposals, inputs.cam), config, job)}


def run(inputs, config, job):
    """inputs : index, cam, and proposals or, with `nodes: salient`, salient (instances/1), of one shard; weights, but
    for scores cam. Returns mil: Table "mil/1".

    image_id (I,) str. first (I + 1,) int64: nodes first[i]:first[i + 1] belong to image i. row (N,) int64: the node's
    row in the store of proposals or of salient instances. p (N, K + 1) float32, column c is class labels[c],
    labels[0] = 0; rows sum to 1, but for scores attention, whose columns are independent probabilities. f (N, D)
    float16, unit length. Attributes labels: list of K + 1 category ids; scores: the configuration's word.
    """
    from stages.mil import infer

    return infer.infer(inputs, config, job)
