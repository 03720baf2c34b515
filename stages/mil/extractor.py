"""Fan's semantic feature extractor (Sec. 3.2): a classifier whose features are drawn to their classes' centres.

It learns on a folder with one sub-folder of photos per class (in the paper: ImageNet) or, where none is named, on the
training photos with a single tag. With `epochs: 0` the ImageNet features stay as they are. Only the backbone is kept.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stages.mil import losses
from stages.mil.rates import optimiser_of, rate_of
from tag2mask.data.photo import SUFFIXES, read_photo, size_of
from tag2mask.data.scale import LARGEST, size_within
from tag2mask.errors import BadImage, UserError
from tag2mask.learn import backbone, crops
from tag2mask.learn.device import moved
from tag2mask.learn.loop import Task, start, train
from tag2mask.learn.photos import spread
from tag2mask.learn.schedules import iterations_of
from tag2mask.learn.whole import share
from tag2mask.store.weights import Weights

# the keys of the configuration that say what the backbone is
BUILD = ("backbone", "output_stride", "dilate", "last_conv", "frozen_norm", "size")
CROP = {"area": (0.5, 1.0), "aspect": 1.33, "jitter": 0.2}  # ours, the classifier's; Fan says "cropped and resized"
SINGLE_TAG = "single-tag training photos"


class Extractor(nn.Module):
    """x (B, 3, H, W) -> features f (B, D) and scores (B, C): backbone, global average pooling, a linear layer.

    The linear layer is the paper's 1x1 convolution on f. centers : (C, D) buffer, the classes' centres of Eq. 3, 0 for
    a class not met yet.
    """

    def __init__(self, net, classes):
        super().__init__()
        self.backbone = net
        self.score = nn.Linear(net.channels[-1], classes)
        self.register_buffer("centers", torch.zeros(classes, net.channels[-1]))
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def forward(self, x):
        f = self.backbone(x, placed=False)[-1].mean((2, 3))
        return f, self.score(f)


@dataclass
class Samples:
    """Labelled photos. label : (n,) int64 in 0..classes-1. photo : number -> (H, W, 3) uint8. size : number -> (H, W),
    without decoding it. name : for the table."""

    label: np.ndarray
    classes: int
    photo: object
    size: object
    name: str


def learn(index, config, job):
    """Weights of kind "mil", scores "attention": the backbone of f. meta["features_trained_on"] says on what.

    index : Index; where config.labelled_folder names a folder, nothing is read from it. Source: Fan, Eq. 3, 4.
    """
    start(job)
    net = backbone.create(
        config.backbone, config.weights, output_stride=config.output_stride, dilate=config.dilate,
        head=config.last_conv, frozen_norm=config.frozen_norm,
    )  # fmt: skip
    meta = {"kind": "mil", "scores": "attention", **{name: getattr(config, name) for name in BUILD}}
    meta |= {"mean": list(net.mean), "std": list(net.std)}
    if config.epochs == 0:
        source = {"imagenet": "ImageNet", "none": "nothing"}.get(config.weights, Path(config.weights).name)
        return Weights(meta | {"features_trained_on": source}, net.state_dict())
    samples = of_folder(config.labelled_folder) if config.labelled_folder else of_tags(index)
    model = Extractor(net, samples.classes).to(job.device)
    model.backbone.freeze(config.freeze)
    iterations = iterations_of(config.epochs, len(samples.label), config.batch)

    def make_batch(positions, draw):
        rng = draw()
        for n in draw.before:
            crops.pass_over(rng, samples.size(n), area=CROP["area"], aspect=CROP["aspect"])
        return batch(samples, positions, rng, size=config.size, flip=config.flip)

    centers = losses.Moving(model, config.center_rate)

    def loss(items, t):
        return share(loss_of(model, *items, weight=config.center_loss, centers=centers))

    task = Task(
        "mil (feature extractor)", photos=len(samples.label), batch=config.batch, iterations=iterations,
        model=model, optimiser=optimiser_of(model, config), rate=rate_of(config, iterations, len(samples.label)),
        make_batch=make_batch, loss=loss, every=config.checkpoint_every, after=centers.after, **config.computing(),
    )  # fmt: skip
    train(task, job)
    job.count(classes=samples.classes)
    check(model, samples, size=config.size, job=job)
    return Weights(meta | {"features_trained_on": samples.name}, model.backbone.state_dict())


def restore(weights):
    """The trained Backbone of a `Weights` of kind "mil" and scores "attention", in evaluation mode."""
    meta = weights.meta
    if meta.get("scores") != "attention":
        raise UserError(
            f"These weights are of mil.scores {meta.get('scores')!r}, not 'attention'; train the stage again."
        )
    net = backbone.create(
        meta["backbone"], "none", output_stride=meta["output_stride"], dilate=meta["dilate"], head=meta["last_conv"],
        frozen_norm=meta["frozen_norm"],
    )  # fmt: skip
    weights.fill(net)
    net.mean, net.std = tuple(meta["mean"]), tuple(meta["std"])
    return net.eval()


def loss_of(model, photos, label, *, weight, centers):
    """Loss of one mini-batch: cross-entropy + lambda x centre loss; `centers` (losses.Moving) sees it. Fan, Eq. 3, 4.

    photos : (B, H, W, 3) uint8. label : (B,) int64. weight : lambda. Every sample moves its class's centre, one after
    the other, towards its feature; the loss sees the centres of before, and no gradient passes through them.
    """
    f, scores = model(model.backbone.normalise(photos))
    label = moved(label, f.device)
    centers.see(f, label)
    return total_loss(f, scores, model.centers, label, weight=weight)


def total_loss(f, scores, centers, label, *, weight):
    """L = L_cls + lambda L_c, means over the mini-batch; L_c = 1 - cosine of f and its class's centre. Fan, Eq. 3.

    f : (B, D). scores : (B, C), before the softmax. centers : (C, D). label : (B,) int64. weight : lambda.
    """
    return nn.functional.cross_entropy(scores, label) + weight * losses.center_loss(f, centers[label])


def batch(samples, positions, rng, *, size, flip):
    """(photos (B, size, size, 3) uint8, labels (B,) int64) of the samples at `positions`: random crops, mirrored if
    `flip`."""
    photos = [crops.augment(samples.photo(n), rng, size=size, flip=flip, **CROP) for n in positions]
    return np.stack(photos), torch.from_numpy(samples.label[positions])


def of_tags(index):
    """Samples: the training photos with one tag alone, their tags as classes."""
    photos = [i for i in index.where("train") if len(index.tags(i)) == 1]
    tags, label = np.unique([index.tags(i)[0] for i in photos], return_inverse=True)
    if len(tags) < 2:
        found = "none" if not photos else f"{len(photos)}, all of the class {index.categories[int(tags[0])]}"
        raise UserError(
            f"The feature extractor learns on training photos with a single tag, of two classes at least, and there "
            f"are {found}: name a folder with one sub-folder of photos per class in mil.labelled_folder, or set "
            "mil.epochs to 0."
        )

    def size(n):
        return size_within(index.size[photos[n]], LARGEST)

    return Samples(label.astype(np.int64), len(tags), lambda n: index.photo(photos[n]), size, SINGLE_TAG)


def of_folder(folder):
    """Samples: the photos in the sub-folders of `folder`, a class each, in the order of their names.

    Only files whose names end as photos do; a file that is no photo is a UserError when its turn comes.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"The folder {folder} does not exist; check mil.labelled_folder.")
    files, label, classes = [], [], 0
    for sub in sorted(one for one in root.iterdir() if one.is_dir() and not one.name.startswith(".")):
        found = sorted(one for one in sub.iterdir() if one.suffix.lower() in SUFFIXES and one.is_file())
        files += found
        label += [classes] * len(found)
        classes += bool(found)
    if classes < 2:
        raise UserError(
            f"The folder {folder} has {classes} sub-folder{'s' * (classes != 1)} with photos; the feature extractor "
            "needs two or more, one per class (mil.labelled_folder)."
        )

    def looked_at(look, n):
        try:
            return look(files[n])
        except BadImage as error:
            raise UserError(f"{error} It is one of mil.labelled_folder.") from None

    photo, size = partial(looked_at, read_photo), partial(looked_at, size_of)
    return Samples(np.array(label, np.int64), classes, photo, size, root.resolve().name)


@torch.no_grad()
def check(model, samples, *, size, job):
    """Numbers of the finished extractor on some of its photos, unchanged: accuracy, and mean cosine to the centres.

    cosine_own : to the centre of the photo's class; cosine_other : to all other centres.
    """
    some = spread(len(samples.label))
    hits, own, other = [], [], []
    for n in job.progress(some, total=len(some), what="mil (check)"):
        f, scores = model(model.backbone.normalise(crops.resize(samples.photo(n), (size, size))[None]))
        cosine = nn.functional.cosine_similarity(f, model.centers, dim=1)
        mine = torch.arange(samples.classes, device=f.device) == int(samples.label[n])
        hits.append(bool(mine[scores[0].argmax()]))
        own.append(float(cosine[mine][0]))
        other.append(float(cosine[~mine].mean()))
    job.count(accuracy=round(float(np.mean(hits)), 4))
    job.count(cosine_own=round(float(np.mean(own)), 4), cosine_other=round(float(np.mean(other)), 4))
