"""Everything that learns, on one tiny dataset, with the smallest networks: for the contract of learning."""

import importlib
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from PIL import Image

from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.tables import Table

CATEGORIES = {3: "disc", 7: "box"}
SIZE = (48, 64)
NETWORK = {"backbone": "test_efficientnet", "weights": "none", "checkpoint_every": 2, "batch": 2}


@dataclass
class Learner:
    """stage : its module. keys : of its configuration; all take 4 iterations, with a checkpoint after 2."""

    stage: str
    keys: dict

    def train(self, inputs, job):
        """What the stage's function `train` makes: {"weights": Weights, ...}."""
        stage, section = (importlib.import_module(f"stages.{self.stage}{end}") for end in ("", ".config"))
        return stage.train(inputs, section.Config(**NETWORK, **self.keys), job)


FROM_TAGS = {"size": 32, "epochs": 2, "last_conv": False, "frozen_norm": False, "optimiser": "adamw", "rate": 0.003}
MASK_RCNN = {
    "fpn_channels": 8, "fpn_levels": [3, 4], "anchor_sizes": [16, 32], "box_channels": 8, "mask_layers": 1,
    "mask_channels": 8, "rpn_batch": 16, "rpn_pre_nms": (20, 20), "rpn_post_nms": (10, 10), "roi_batch": 8,
    "rate_batch": 2, "iterations": 4, "optimiser": "adamw", "learning_rate": 1e-3, "schedule": "one_cycle",
    "short_side": [48, 56], "max_side": 96,
}  # fmt: skip
LEARNERS = {
    "classifier": Learner("classifier", FROM_TAGS),
    "classifier_pam": Learner("classifier", FROM_TAGS | {"head": "pam", "pam_channels": 8, "schedule": "one_cycle"}),
    "classifier_prm": Learner("classifier", FROM_TAGS | {"head": "prm"}),
    "mil": Learner("mil", FROM_TAGS | {"scores": "network", "keep": 2, "roi": 2}),
    "mil_attention": Learner("mil", FROM_TAGS | {"scores": "attention", "output_stride": 32}),
    "segment": Learner(
        "segment", {"output_stride": 16, "atrous_rates": [1], "iterations": 4, "crop": 32, "schedule": "poly"}
    ),
    "refine": Learner("refine", MASK_RCNN),
    "refine_taught": Learner("refine", MASK_RCNN | {"ignore": 0.3, "score_weight": True}),
    "bestie": Learner("bestie", {
        "atrous_rates": [1], "aspp_channels": 8, "semantic_channels": 8, "instance_channels": 8, "head_channels": 8,
        "epochs": 2, "size": 64, "scales": (0.8, 1.2), "window": 9, "min_area": 4, "snapshots": 2, "snapshot_photos": 1,
        "refine_threshold": 1e-6,
    }),
    "cim": Learner("cim", {
        "iterations": 4, "sides": (32, 48), "longest": 64, "roi": 3, "fuse_channels": 4, "widths": (8, 8), "freeze": 0,
        "optimiser": "adamw", "rate": 0.003, "schedule": "one_cycle", "snapshots": 2, "snapshot_photos": 1,
        "frozen_norm": False, "bag_weight": 1.0,
    }),
    "icn": Learner("icn", {
        "channels": 4, "frozen_norm": False, "epochs": 2, "crop": 32, "optimiser": "adamw", "rate": 0.003,
        "schedule": "one_cycle",
    }),
}  # fmt: skip


def dataset(folder):
    """Paths of all that the learners read, of 4 training photos with one disc (3) or box (7) each, in one shard."""
    names, tags = [f"p{k}.png" for k in range(4)], [(3,), (7,)] * 2
    labels, proposals = InstancesBuilder(CATEGORIES), InstancesBuilder({})
    cam, prm, targets = MapsBuilder(np.float16), MapsBuilder(np.float16), MapsBuilder(np.float16)
    semantic, places = MapsBuilder(np.uint8), []
    for k, (name, (category,)) in enumerate(zip(names, tags)):
        photo, mask = photo_with(category, k)
        Image.fromarray(photo).save(folder / name)
        labels.add(name, SIZE, mask[None], category=category)
        proposals.add(name, SIZE, np.array([mask, ~mask]), category=0)
        cam.add(name, SIZE, [(category, mask[4::8, 4::8].astype(np.float32))])
        prm.add(name, SIZE, [(category, (photo[..., 0] / 255 * mask)[2::4, 2::4])])
        targets.add(name, SIZE, [(category, mask[2::4, 2::4])])
        semantic.add(name, SIZE, [(0, mask * np.uint8(category))])
        places.append(np.argwhere(mask).mean(0))
    index = Index.build(
        folder, CATEGORIES, image_id=names, path=names, size=[SIZE] * 4, tags=tags, train=np.ones(4, bool),
        with_masks=np.ones(4, bool),
    )  # fmt: skip
    made = {"index": index, "cam": cam.finish(), "semantic": semantic.finish(), "prm": prm.finish()}
    made |= {"labels": labels.finish(), "proposals": proposals.finish(), "targets": targets.finish()}
    made["peaks"] = Table(
        "peaks/1",
        {"image_id": np.array(names), "first": np.arange(5), "category": np.array([3, 7, 3, 7], np.int16),
         "yx": np.array(places, np.int32), "score": np.ones(4, np.float32)},
    )  # fmt: skip
    paths = {name: folder / f"{name}.zarr.zip" for name in made}
    for name, artifact in made.items():
        artifact.save(paths[name])
    paths |= {"transfer": [paths["labels"]], "semantic": [paths["semantic"]]}
    return SimpleNamespace(**paths)


def photo_with(category, k):
    """A dark photo with a red disc (3) or a blue box (7) of 28 pixels, and where that is: (H, W) bool."""
    photo = np.random.default_rng(k).integers(60, 100, (*SIZE, 3)).astype(np.uint8)
    y, x = np.ogrid[: SIZE[0], : SIZE[1]]
    y, x = y - 10 - k, x - 4 - 8 * k
    mask = ((y - 14) ** 2 + (x - 14) ** 2 < 196) if category == 3 else (y >= 0) & (y < 28) & (x >= 0) & (x < 28)
    photo[mask] = (230, 40, 40) if category == 3 else (40, 60, 230)
    return photo, mask
