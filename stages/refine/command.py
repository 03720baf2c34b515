"""`tag2mask predict` with weights of a Mask R-CNN, results/<run>/refine/<recipe>/weights.pt."""

from tag2mask.view.prediction import write_instances

OPTIONS = {"--score": {"type": float, "default": 0.5, "help": "least score that is drawn"}}


def predict(given, files, weights, job):
    """Segment the photos; see `tag2mask.cli.predict`."""
    from stages.refine.predict import predict_photos
    from tag2mask.data.photo import readable

    table = predict_photos(readable(files, job), weights, config=None, job=job, count=len(files))
    write_instances(table, files, root=given.folder, out=given.out, least=given.score)
    return f"{table.images} photos, {len(table)} instances"
