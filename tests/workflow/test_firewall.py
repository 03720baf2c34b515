"""The firewall's second test: without any mask or box the pseudo labels stay the same, bit for bit.

The first one, which rules may read ground truth at all, is in test_dag.py.
"""

import importlib
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import ROOT, TINY
from PIL import Image
from snakemake.utils import update_config

from stages.images.scenes import CLASSES, make_scene
from tag2mask.data.instances import Instances
from tag2mask.run.job import Job
from tag2mask.run.plan import Plan, model_of
from tag2mask.store.store import digest

TRAIN, VAL, SHARDS = 8, 2, 2
BOX = re.compile("<bndbox>.*?</bndbox>")


def voc(root):
    """Generated scenes as a dataset in VOC's layout, with masks and boxes of every photo."""
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "SegmentationObject"):
        (root / name).mkdir(parents=True)
    names = [f"{i:04d}" for i in range(TRAIN + VAL)]
    for i, name in enumerate(names):
        scene = make_scene(3, i, size=96)
        Image.fromarray(scene.photo).save(root / f"JPEGImages/{name}.png")
        objects = np.zeros(scene.photo.shape[:2], np.uint8)
        classes = objects.copy()
        entries = []
        for k, (mask, category) in enumerate(zip(scene.masks, scene.category), start=1):
            objects[mask], classes[mask] = k, category
            y, x = np.nonzero(mask)
            corners = zip(("xmin", "ymin", "xmax", "ymax"), (x.min() + 1, y.min() + 1, x.max() + 1, y.max() + 1))
            box = "".join(f"<{key}>{value}</{key}>" for key, value in corners)
            entries.append(
                f"<object><name>{CLASSES[category]}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>"
            )
        (root / f"Annotations/{name}.xml").write_text(f"<annotation>{''.join(entries)}</annotation>")
        for folder, values in (("SegmentationClass", classes), ("SegmentationObject", objects)):
            image = Image.fromarray(values)
            image.putpalette(np.arange(768, dtype=np.uint8).tobytes())
            image.save(root / f"{folder}/{name}.png")
    lists = {"Main/train": names[:TRAIN], "Segmentation/train": names[: TRAIN // 2], "Segmentation/val": names[TRAIN:]}
    for name, ids in lists.items():
        path = root / f"ImageSets/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(ids) + "\n")


def without_masks_and_boxes(root):
    """Delete every mask, and every box in the XML; the entries of the classes stay."""
    for name in ("SegmentationClass", "SegmentationObject"):
        shutil.rmtree(root / name)
    for path in (root / "Annotations").iterdir():
        text, boxes = BOX.subn("", path.read_text())
        assert boxes and "<name>" in text
        path.write_text(text)


class Chain:
    """The stages one after the other in this process, as the workflow would run them, with the tiny configuration."""

    def __init__(self, dataset, out):
        self.out = out
        values = {}
        for path in (ROOT / "config/recipes.yaml", TINY):
            update_config(values, yaml.safe_load(path.read_text()))  # Snakemake's own, deep, merge
        values["show"] = ["transfer", "cam_cut", "liid", "fan", "bestie", "cim", "icn", "fused"]
        values["dataset"] = {
            "kind": "voc", "root": str(dataset), "train": "Main/train", "classes": list(CLASSES.values()),
            "shards": SHARDS,
        }  # fmt: skip
        self.plan = Plan.load(values)

    def path(self, stage, variant, name, shard=None):
        return self.out / stage / variant / f"{'all' if shard is None else f'{shard:04d}'}.{name}.zarr.zip"

    def paths(self, stage, variant, name):
        return [self.path(stage, variant, name, k) for k in range(SHARDS)]

    def make(self, stage, variant="default", function="run", *, shard=None, config=None, **inputs):
        """Run one job; its artifacts go to files. Weights have no shard, so `cam` finds them under the variant."""
        module = importlib.import_module(f"stages.{stage}")
        config = model_of(stage).model_validate(config or self.plan.config(stage, variant))
        folder = self.out / stage / variant
        folder.mkdir(parents=True, exist_ok=True)
        index = self.path("images", "default", "index")
        job = Job(seed=0, shard=shard, shards=SHARDS, folder=folder)
        made = getattr(module, function)(SimpleNamespace(index=index, **inputs), config, job)
        for name, artifact in made.items():
            if name == "weights":
                artifact.save(folder / "weights.pt")
            elif hasattr(artifact, "save"):
                artifact.save(self.path(stage, variant, name, shard))

    def sharded(self, stage, variant, **inputs):
        """One job a shard; an input is a path, or (stage, variant, name) of a store of the same shard."""
        for k in range(SHARDS):
            given = {key: self.path(*one, k) if isinstance(one, tuple) else one for key, one in inputs.items()}
            self.make(stage, variant, shard=k, **given)

    def labels(self, recipe):
        """The pseudo labels of `recipe`, an Instances table."""
        stage, variant = self.plan.source(recipe)
        if stage == "graph_cut":
            given = [self.path(stage, variant, "instances")]
        else:
            given = self.paths(stage, variant, "instances")
        own = self.plan.section("pseudo_labels", recipe=recipe)["config"]
        self.make("pseudo_labels", recipe, config=own, instances=given)
        return Instances.load(self.path("pseudo_labels", recipe, "labels"))

    def cut(self, variant):
        """The labels of a variant of `graph_cut` from proposals or salient instances and CAMs, as its `from` says."""
        mil, graph = (self.plan.upstream("graph_cut", variant, stage) for stage in ("mil", "graph"))

        def given(stage, name, function):
            """Input -> (stage, variant, artifact) of the shards' stores that it reads."""
            reads = self.plan.reads(stage, name, function)
            return {
                one: (reads[one].stage, self.plan.upstream(stage, name, reads[one].stage), one)
                for one in ("proposals", "salient", "cam") if one in reads
            }  # fmt: skip

        learned = {}
        if "weights" in self.plan.reads("mil", mil, "run"):
            stores = given("mil", mil, "train")
            self.make("mil", mil, "train", **{name: self.paths(*one) for name, one in stores.items()})
            learned["weights"] = self.out / "mil" / mil / "weights.pt"
        self.sharded("mil", mil, **given("mil", mil, "run"), **learned)
        self.make("graph", graph, mil=self.paths("mil", mil, "mil"))
        nodes = {"proposals": None} | {
            name: self.paths(*one) for name, one in given("graph_cut", variant, "run").items()
        }
        self.make(
            "graph_cut", variant, mil=self.paths("mil", mil, "mil"), edges=self.path("graph", graph, "edges"), **nodes
        )

    def run(self):
        """(truth, {recipe: pseudo labels}) of the dataset."""
        self.make("images")
        self.sharded("proposals", "default")
        self.sharded("saliency", "default")
        for head in ("plain", "pam"):
            self.make("classifier", head, "train")
            self.sharded("cam", head, weights=self.out / "classifier" / head / "weights.pt")
        self.sharded("semantic", "default", cam=("cam", "plain", "cam"))
        self.sharded("transfer", "default", semantic=("semantic", "default", "semantic"), peaks=("cam", "pam", "peaks"))
        self.sharded("cam", "attention", weights=self.out / "classifier/plain/weights.pt")
        self.make(
            "bestie", "default", "train", transfer=self.paths("transfer", "default", "instances"),
            semantic=self.paths("semantic", "default", "semantic"),
        )  # fmt: skip
        self.sharded("bestie", "default", weights=self.out / "bestie/default/weights.pt")
        self.make(
            "cim", "default", "train", proposals=self.paths("proposals", "default", "proposals"),
            peaks=self.paths("cam", "pam", "peaks"),
        )  # fmt: skip
        proposals = ("proposals", "default", "proposals")
        self.sharded("cim", "default", weights=self.out / "cim/default/weights.pt", proposals=proposals)
        peaks, pam = ("cam", "pam", "peaks"), self.out / "classifier/pam/weights.pt"
        self.sharded("prm", "icn", weights=pam, peaks=peaks)
        maps, section = ("prm", "icn", "prm"), self.plan.section("icn", "default", "targets")["config"]
        for k in range(SHARDS):
            given = {"prm": self.path(*maps, k), "proposals": self.path(*proposals, k)}
            self.make("icn", "default", "targets", shard=k, config=section, **given)
        self.make("icn", "default", "train", prm=self.paths(*maps), targets=self.paths("icn", "default", "targets"))
        self.sharded("icn", "default", weights=self.out / "icn/default/weights.pt", prm=maps)
        self.sharded("match", "icn", enhanced=("icn", "default", "enhanced"), proposals=proposals)
        for recipe in ("cam_cut", "liid", "fan"):
            self.cut(self.plan.source(recipe)[1])
        sources = {word: (word, "default", "instances") for word in ("bestie", "cim", "transfer")}
        maps = {"cam": ("cam", "plain", "cam"), "semantic": ("semantic", "default", "semantic")}
        self.sharded("fuse", "default", **sources, **maps)
        truth = Instances.load(self.path("images", "default", "truth"))
        return truth, {recipe: self.labels(recipe) for recipe in self.plan.show}


@pytest.mark.filterwarnings("ignore")
def test_pseudo_labels_without_any_mask_or_box_are_the_same(tmp_path):
    """The recipes that learn from tags, from photos to the published labels."""
    voc(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "bare")
    without_masks_and_boxes(tmp_path / "bare")
    truth, labels = Chain(tmp_path / "whole", tmp_path / "a").run()
    none, bare = Chain(tmp_path / "bare", tmp_path / "b").run()
    assert len(truth) > TRAIN // 2 and len(none) == 0  # the first had masks to look at, the second none
    for recipe, table in labels.items():
        assert table.images == TRAIN and len(table) > 0
        assert digest(bare[recipe].arrays()) == digest(table.arrays()), recipe
