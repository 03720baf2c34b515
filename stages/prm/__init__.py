"""prm: a map of every peak, the part of the photo that its class response rests on (PRM; ICN, Sec. 3.1, Eq. 2)."""

AT_ONCE = 16  # peaks, on a GPU


def run(inputs, config, job):
    """{"prm": Maps float16 in [0, 1], each over its maximum} of one shard, of all training photos without job.shard.

    inputs : index, weights, peaks (peaks/1). A photo's maps are those of its peaks, in their order, with their
    classes; a peak from which nothing gets back has a map of 0. Divided by its sum a map is PRM's.
    """
    import numpy as np
    import torch

    from stages.classifier.model import restore
    from stages.prm.photo import peak_maps
    from tag2mask.data.index import Index
    from tag2mask.data.maps import MapsBuilder
    from tag2mask.data.tables import Table
    from tag2mask.errors import UserError
    from tag2mask.learn.ahead import Ahead
    from tag2mask.learn.loop import start, workers_of
    from tag2mask.store.weights import Weights

    index, weights = Index.load(inputs.index), Weights.load(inputs.weights, "classifier")
    peaks = Table.load(inputs.peaks, "peaks/1")
    start(job)
    model = restore(weights, output_stride=config.output_stride).to(job.device).requires_grad_(False)
    model.to(memory_format=torch.contiguous_format)  # backwards faster on a CPU
    column = {category: k for k, category in enumerate(weights.meta["classes"])}
    if set(peaks["category"].tolist()) - set(column):
        raise UserError(f"{inputs.weights} was trained on other classes than {inputs.peaks} has; build both again.")
    at_once = config.peaks_at_once or (1 if job.device == "cpu" else AT_ONCE)
    photos = index.of_shard(job.shard)
    place = {str(name): k for k, name in enumerate(peaks["image_id"])}
    rows = [slice(*peaks["first"][k : k + 2]) for k in (place[index.image_id[i]] for i in photos)]
    named = {"title": "PRM", "normalise": "maximum", "side": config.side}
    builder, empty = MapsBuilder(np.float16, named), 0

    def load(t):
        return index.photo(photos[t]) if rows[t].start < rows[t].stop else None

    with Ahead(load, iterations=len(photos), workers=workers_of(job)) as photo_of:
        for t in job.progress(range(len(photos)), total=len(photos), what="prm"):
            photo, categories, maps = photo_of(t), peaks["category"][rows[t]], []
            if photo is not None:
                columns = [column[int(c)] for c in categories]
                maps = peak_maps(
                    model, photo, peaks["yx"][rows[t]], columns, of=index.size[photos[t]],
                    size=config.size or weights.meta["size"], side=config.side, at_once=at_once,
                )  # fmt: skip
                empty += int((maps.max((1, 2)) == 0).sum())
            builder.add(index.image_id[photos[t]], index.size[photos[t]], list(zip(categories, maps)))
    made = builder.finish()
    job.count(photos=len(photos), maps=len(made), maps_without_response=empty)
    if not len(made):
        job.warn("No photo has a peak, so there is no peak response map: lower the floor of cam's peaks.")
    return {"prm": made}
