"""transfer: semantic knowledge transfer (BESTIE, Sec. 3.3). Components with exactly one cue become instances.

Cues are peaks of the class maps or, where somebody gave them, points on the objects (Sec. 4.3).
"""

from collections import Counter


def run(inputs, config, job):
    """{"instances": Instances} of one shard, score = the cue's score; in a photo by category, then row order.

    Without job.shard: of all training photos.

    inputs : index, semantic (maps/1), and peaks or, with `cues: points`, points (both peaks/1).
    """
    import numpy as np

    from stages.transfer.components import single_peak_components
    from tag2mask.data.index import Index
    from tag2mask.data.instances import InstancesBuilder
    from tag2mask.data.maps import Maps
    from tag2mask.data.tables import Table

    index, semantic = Index.load(inputs.index), Maps.load(inputs.semantic)
    peaks = Table.load(getattr(inputs, config.cues), "peaks/1")
    maps = {name: k for k, name in enumerate(semantic.image_id)}
    cues = {str(name): k for k, name in enumerate(peaks["image_id"])}
    photos = index.of_shard(job.shard)
    builder, totals = InstancesBuilder(index.categories), Counter()
    for i in job.progress(photos, total=len(photos), what="transfer"):
        name = index.image_id[i]
        label_map = semantic.of(maps[name])[1][0]
        rows = slice(*peaks["first"][cues[name] : cues[name] + 2])
        masks, categories, scores = [np.zeros((0, *label_map.shape), bool)], [], []
        for category in index.tags(i):
            mine = (peaks["category"][rows] == category) & (peaks["score"][rows] >= config.floor)
            kept = single_peak_components(
                label_map, category, peaks=peaks["yx"][rows][mine], scores=peaks["score"][rows][mine],
                min_area=config.min_area,
            )  # fmt: skip
            masks.append(kept.masks)
            scores.extend(kept.score)
            categories.extend([category] * len(kept.score))
            totals.update(kept.counts)
        builder.add(name, label_map.shape, np.concatenate(masks), category=np.array(categories, int), score=scores)
    job.count(**totals)
    instances = builder.finish()
    if not len(instances):
        job.warn(
            f"No component of any semantic map holds exactly one {config.cues[:-1]}: there is no instance to train on."
        )
    return {"instances": instances}
