"""`classifier`: a multi-label classifier trained on tags alone; its class maps are CAMs, PAM maps (head: pam), or class
response maps (head: prm).
"""


def train(inputs, config, job):
    """Train on the index's training photos. Returns {"weights": Weights} whose meta is all that `cam` needs.

    inputs.index : path. Learns from tags only (K independent cross-entropies; LIID 4.2.1, BESTIE 3.3).
    """
    from stages.classifier.learn import learn
    from tag2mask.data.index import Index

    return {"weights": learn(Index.load(inputs.index), config, job)}
