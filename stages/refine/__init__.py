"""Mask R-CNN on the label store (detectron2): the network that all recipes end with, and its predictions.

`train` needs the index and a published label store, `run` the index and the weights. Sources: LIID Sec. 5.3 ("train a
Mask R-CNN"), BESTIE Sec. 4.2 (MRCNN refinement), CIM Sec. 4.2; settings: config.py.
"""


def train(inputs, config, job):
    """{"weights": Weights of a Mask R-CNN trained on inputs.labels (Instances) over the photos of inputs.index,
    "added": Instances that joined these labels for the last of config.rounds, without an image where there is one}.

    inputs.semantic : paths of the shards' maps/1, where config.ignore is set; optional.
    """
    from stages.refine.learn import learn
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances
    from tag2mask.data.labelmaps import LabelMaps
    from tag2mask.data.maps import Maps

    maps = getattr(inputs, "semantic", None)
    foreground = LabelMaps(Maps.load(path) for path in maps) if maps and config.ignore is not None else None
    weights, added = learn(
        Index.load(inputs.index), Instances.open(inputs.labels).unpacked(), foreground, config=config, job=job
    )  # fmt: skip
    return {"weights": weights, "added": added}


def run(inputs, config, job):
    """{"predictions": Instances} of the validation photos of inputs.index by the Mask R-CNN in inputs.weights."""
    from stages.refine.predict import predict_index
    from tag2mask.data.index import Index
    from tag2mask.store.weights import Weights

    weights = Weights.load(inputs.weights, "refine")
    return {"predictions": predict_index(Index.load(inputs.index), weights, config=config, job=job)}
