"""`cam`: class activation maps of each training photo's tagged classes, and their peaks.

With weights of a classifier whose head is pam, the maps are PAM maps (BESTIE 3.3); nothing else differs. With
`normalise: sigmoid` they are Fan's attention maps, and a peak's score is the probability there. With `peaks: median`
peaks are PRM's: found on the enlarged maps before they are normalised, which changes no map; with `peaks: gaussian`
ICN's, found on the normalised maps.
"""

AT_ONCE = 16  # images that go through the network together, on a GPU
TITLES = {"pam": "PAM", "prm": "class responses"}  # what maps of a classifier with this head are called


def run(inputs, config, job):
    """Maps and peaks of one shard's photos (of all training photos when job.shard is None).

    inputs.index, inputs.weights : paths. Returns {"cam": Maps float16 in [0, 1], one per tagged class, at network
    stride; "peaks": Table "peaks/1" with image_id (I,), first (I + 1,) int64, category (P,) int16, yx (P, 2) int32
    photo pixels, score (P,) float32 in [0, 1]}; both hold every photo of the shard in index order.
    """
    from functools import partial

    import numpy as np

    from stages.cam.maps import attention, normalise, photo_maps, responses
    from stages.cam.peaks import photo_peaks, response_peaks, rising_peaks
    from stages.classifier.model import restore
    from tag2mask.data.index import Index
    from tag2mask.data.maps import MapsBuilder
    from tag2mask.data.ragged import starts
    from tag2mask.data.tables import Table
    from tag2mask.errors import UserError
    from tag2mask.learn.loop import on_cpu, start, workers_of
    from tag2mask.store.weights import Weights

    index, weights = Index.load(inputs.index), Weights.load(inputs.weights, "classifier")
    start(job)
    model = restore(weights, output_stride=config.output_stride).to(job.device)
    probable, bias = config.normalise == "sigmoid", model.bias.detach().cpu().numpy()
    column = {category: k for k, category in enumerate(weights.meta["classes"])}
    if set(index.categories) - set(column):
        raise UserError(f"{inputs.weights} was trained on other classes than the index has; train it again.")
    photos = index.of_shard(job.shard)
    side = config.size or weights.meta["size"]
    if config.peaks == "median":
        find = partial(response_peaks, enlarge=model.enlarge, floor=config.peak_floor)
    elif config.peaks == "gaussian":
        find = partial(rising_peaks, sigma=config.sigma / model.stride)
    else:
        find = partial(photo_peaks, mean_filter=config.mean_filter, window=config.window, floor=config.floor)
    head = weights.meta["head"]
    named = {"head": head, "title": TITLES.get(head, "CAM")}
    builder = MapsBuilder(np.float16, {"stride": model.stride, "size": side, **named, "normalise": config.normalise})
    columns = [[column[c] for c in index.tags(i)] for i in photos]
    look = partial(find, most=config.most, share=config.join)
    none = np.zeros((0, 1, 1), np.float16)
    found, empty = [(none, look(none.astype(np.float32), (1, 1)))] * len(photos), 0  # maps and peaks of no class
    made = photo_maps(
        index, photos, model, columns, side=side, scales=config.scales, flip=config.flip, workers=workers_of(job),
        at_once=config.images_at_once or (1 if on_cpu(job) else AT_ONCE),
    )  # fmt: skip
    for t, (positive, signed) in job.progress(made, total=sum(map(bool, columns)), what="cam"):
        maps = attention(signed, bias[columns[t]]) if probable else normalise(positive)
        searched = responses(model, signed, columns[t]) if config.peaks == "median" else maps
        found[t] = maps.astype(np.float16), look(searched, tuple(index.size[photos[t]].tolist()))
        empty += int((maps.max((1, 2)) == 0).sum())
    counts, category, places, scores = [], [], [], []
    for i, (maps, (number, yx, score)) in zip(photos, found):
        tags = index.tags(i)
        builder.add(index.image_id[i], index.size[i], list(zip(tags, maps)))
        counts.append(len(number))
        category.append(np.array(tags, np.int16)[number])
        places.append(yx)
        scores.append(score)
    cam = builder.finish()
    job.count(photos=len(photos), maps=len(cam), peaks=int(np.sum(counts)), maps_without_response=empty)
    if len(cam):
        job.count(peaks_per_map=round(float(np.sum(counts)) / len(cam), 2))
    peaks = Table(
        "peaks/1",
        {
            "image_id": np.array(cam.image_id, dtype=str),
            "first": starts(counts),
            "category": np.concatenate([np.zeros(0, np.int16), *category]),
            "yx": np.concatenate([np.zeros((0, 2), np.int32), *places]),
            "score": np.concatenate([np.zeros(0, np.float32), *scores]),
        },
    )
    return {"cam": cam, "peaks": peaks}
