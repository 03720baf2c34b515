"""semantic: class activation maps become semantic label maps of photo size, or maps made elsewhere are taken over.

One uint8 map a photo: category id, 0 background, 255 not decided. `transfer` cuts instances out of them.
"""

from tag2mask.errors import UserError


def run(inputs, config, job):
    """{"semantic": Maps} of the photos of one shard; without job.shard, of all training photos.

    inputs : index, and cam (source cam; with a `saliency_share`, saliency too) or truth (source truth).
    """
    import numpy as np

    from tag2mask.data.index import Index
    from tag2mask.data.maps import MapsBuilder

    index = Index.load(inputs.index)
    if max(index.categories, default=0) > 254:
        raise UserError(f"Category id {max(index.categories)} does not fit a semantic map: ids must be at most 254.")
    photos = index.of_shard(job.shard)
    if config.source == "folder":
        index.tell_turned(photos, job, f"label maps in {config.path}")
    make = {"cam": from_cam, "folder": from_folder, "truth": from_truth}[config.source](inputs, config, index)
    builder = MapsBuilder(np.uint8, {"background": 0, "ignore": 255})
    share = np.zeros(3)
    for i in job.progress(photos, total=len(photos), what="semantic maps"):
        label = make(i)
        builder.add(index.image_id[i], index.size[i], [(0, label)])
        share += np.array([(label == 0).mean(), (label == 255).mean(), 1]) / max(1, len(photos))
    job.count(background=round(share[0], 4), ignore=round(share[1], 4), foreground=round(share[2] - share[:2].sum(), 4))
    if len(photos) and share[:2].sum() > 0.999:
        job.warn("The semantic maps hold next to no foreground: lower semantic.foreground, or look at the CAMs.")
    return {"semantic": builder.finish()}


def from_cam(inputs, config, index):
    """A function: photo number -> label map, from the shard's CAMs, and its saliency if that has a share."""
    from stages.semantic import label_map
    from tag2mask.data.maps import Maps
    from tag2mask.data.scale import LARGEST

    def maps_of(path):
        maps = Maps.load(path)
        place = {name: k for k, name in enumerate(maps.image_id)}
        return lambda i: maps.of(place[index.image_id[i]])

    cam, saliency = maps_of(inputs.cam), maps_of(inputs.saliency) if config.saliency_share else None

    def make(i):
        photo, size = index.photo(i, within=max(LARGEST, config.side)), index.size[i].tolist()
        mixed = None if saliency is None else saliency(i)[1][0]
        return label_map.from_cam(photo, *cam(i), config, size=size, saliency=mixed)

    return make


def from_folder(inputs, config, index):
    """A function: photo number -> label map, from the folder `config.path`; `refine: crf` goes over it."""
    from stages.semantic import label_map
    from stages.semantic.import_maps import read_label_png

    def make(i):
        label = read_label_png(config.path, index.image_id[i], index.size[i], list(index.categories))
        return label_map.refined(label, index.photo(i, within=config.side), config) if config.refine == "crf" else label

    return make


def from_truth(inputs, config, index):
    """A function: photo number -> label map, from the true masks; a photo without masks is 255 throughout."""
    import numpy as np

    from stages.semantic import label_map
    from tag2mask.data.instances import Instances

    truth = Instances.open(inputs.truth)
    place = {name: k for k, name in enumerate(truth.image_id)}

    def make(i):
        k = place.get(index.image_id[i]) if index.with_masks[i] else None
        if k is None:
            return np.full(tuple(index.size[i]), 255, np.uint8)
        rows = truth.rows(k)
        crowd = truth.ignore[rows] == 1
        return label_map.from_masks(truth.masks(k), truth.category[rows], crowd, truth.void_mask(k))

    return make
