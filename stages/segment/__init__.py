"""DeepLab on the label store merged by class: semantic segmentation from the same pseudo labels as Mask R-CNN.

`train` needs the index and a published label store, `run` the index and the weights. Sources: LIID Sec. 5.3 end and
Sec. 6.5, Fan Sec. 5.1; settings: config.py. The papers' DeepLab is version 2, this one is torchvision's version 3.
"""


def train(inputs, config, job):
    """{"weights": Weights} of a DeepLab trained on inputs.labels (Instances) over the photos of inputs.index."""
    from stages.segment.learn import learn
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances

    return {
        "weights": learn(Index.load(inputs.index), Instances.open(inputs.labels).unpacked(), config=config, job=job)
    }


def run(inputs, config, job):
    """{"predictions": Maps} uint8 of the validation photos of inputs.index by the DeepLab in inputs.weights."""
    from stages.segment.predict import predict_index
    from tag2mask.data.index import Index
    from tag2mask.store.weights import Weights

    weights = Weights.load(inputs.weights, "segment")
    return {"predictions": predict_index(Index.load(inputs.index), weights, config=config, job=job)}
