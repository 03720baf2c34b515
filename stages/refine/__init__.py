"""Mask R-CNN on the label store (detectron2): the network that all recipes end with, and its predictions.

`train` needs the index and a published label store, `run` the index and the weights. Sources: LIID Sec. 5.3 ("train a
Mask R-CNN"), BESTIE Sec. 4.2 (MRCNN refinement), CIM Sec. 4.2; settings: config.py.
"""


def train(inputs, config, job):
    """{"weights": Weights} of a Mask R-CNN trained on inputs.labels (Instances) over the photos of inputs.index."""
    from stages.refine.learn import learn
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances

    return {"weights": learn(Index.load(inputs.index), Instances.load(inputs.labels), config=config, job=job)}


def run(inputs, config, job):
    """{"predictions": Instances} of the validation photos of inputs.index by the Mask R-CNN in inputs.weights."""
    from stages.refine.predict import predict_index
    from tag2mask.data.index import Index
    from tag2mask.store.weights import Weights

    weights = Weights.load(inputs.weights, "refine")
    return {"predictions": predict_index(Index.load(inputs.index), weights, config=config, job=job)}
