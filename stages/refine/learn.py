"""Training of Mask R-CNN on instances: its photos, its network, its loss."""

from stages.refine import model as networks
from stages.refine.data import training_sample
from tag2mask.learn.loop import Task, start, train
from tag2mask.learn.photos import labelled_photos
from tag2mask.learn.schedules import make_optimiser, make_schedule
from tag2mask.store.weights import Weights


def learn(index, labels, *, config, job):
    """Weights (kind "refine") of a Mask R-CNN trained on `labels` (Instances) over photos of `index` (Index).

    Rows with ignore 1 or 2 and rows of category 0 are not used, photos without a row left are skipped.
    Raises UserError when no photo is left.
    """
    photos = labelled_photos(index, labels, teaching(labels), images=config.images, stage="refine")
    categories = sorted(labels.categories)
    class_of = {category: k for k, category in enumerate(categories)}
    start(job)
    model = networks.build(config, len(categories), seed=job.seed).to(job.device)

    def sample(position, rng):
        i, image, rows = photos[position]
        masks = labels.masks(image)[rows - int(labels.first[image])]
        classes = [class_of[int(c)] for c in labels.category[rows]]
        return training_sample(index.photo(i), masks, classes, config=config, rng=rng)

    task = Task(
        "Mask R-CNN", photos=len(photos), batch=config.batch, iterations=config.iterations, model=model,
        optimiser=optimiser_of(model, config), rate=rate_of(config),
        make_batch=lambda positions, draw: [sample(position, draw(k)) for k, position in enumerate(positions)],
        loss=lambda batch, t: networks.losses(model, batch), every=config.checkpoint_every, clip=config.clip,
    )  # fmt: skip
    train(task, job)
    job.count(instances=sum(len(rows) for _, _, rows in photos))
    meta = {
        "kind": "refine",
        "config": config.model_dump(mode="json"),
        "categories": {str(c): labels.categories[c] for c in categories},
        "pixel_mean": model.pixel_mean.flatten().tolist(),
        "pixel_std": model.pixel_std.flatten().tolist(),
    }
    return Weights(meta, model.state_dict())


def teaching(labels):
    """(n,) bool: the instances that count (ignore 0) and have a class."""
    return (labels.ignore == 0) & (labels.category > 0)


def optimiser_of(model, config):
    """SGD or AdamW over the trained parameters, rate scaled linearly with the batch (detectron2's rule)."""
    rate = config.learning_rate * config.batch / config.rate_batch
    groups = [{**group, "lr": rate} for group in networks.groups(model, config)]
    return make_optimiser(config.optimiser, groups, momentum=config.momentum)


def rate_of(config):
    """iteration -> factor of the learning rate."""
    return make_schedule(
        config.schedule, config.iterations, drops=config.steps, gamma=config.gamma, warmup=config.warmup
    )
