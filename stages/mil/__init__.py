"""Stage `mil`: class probabilities p and a feature f for the best proposals of every photo (LIID, Sec. 4).

`scores: cam` trains nothing: p is the mean of the normalised CAM in the proposal's box, f the pooled ImageNet feature.
"""


def run(inputs, config, job):
    """inputs : index, proposals, cam, of one shard. Returns mil: Table "mil/1".

    image_id (I,) str. first (I + 1,) int64: nodes first[i]:first[i + 1] belong to image i. row (N,) int64: the node's
    row in the proposals store. p (N, K + 1) float32, rows sum to 1, column c is class labels[c], labels[0] = 0.
    f (N, D) float16, unit length. Attribute labels: list of K + 1 category ids.
    """
    from stages.mil import infer

    return infer.infer(inputs, config, job)
