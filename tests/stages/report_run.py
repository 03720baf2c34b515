"""A run folder made by hand for the tests of `report`: photos of rectangles, stores, manifests, times, metrics."""

from types import SimpleNamespace

import cv2
import numpy as np

from stages.evaluate import measures
from stages.evaluate.config import Config as EvaluateConfig
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.tables import Table
from tag2mask.store import manifest
from tag2mask.store.store import manifest_path

TAGS = {"supervision": "tags", "kind": "method", "trains": True}
RECIPES = [
    {"name": "transfer", "stage": "transfer", "variant": "default", **TAGS},
    {"name": "cam_cut", "stage": "graph_cut", "variant": "cam", **TAGS,
     "extras": ["salient instances (own)", "features of photos/"]},
    {"name": "full", "stage": "reference", "variant": "full", **TAGS, "supervision": "masks", "kind": "full"},
    {"name": "whole_photo", "stage": "reference", "variant": "whole_photo", **TAGS, "kind": "baseline",
     "trains": False},
]  # fmt: skip
CUT_COUNTS = {
    "nodes": 40, "components": 7, "largest_component": 20, "component_sizes": [[1, 1, 5], [8, 15, 1], [16, 31, 1]],
    "status": "optimal", "energy": 3.0, "bound": 3.0, "gap": 0.0, "changed_by_cut": 0.25,
    "label_share": {"background": 0.5, "cat": 0.3, "dog": 0.2},
}  # fmt: skip
PICTURES = [
    {"kind": "proposals", "title": "proposals"}, {"kind": "heat", "title": ""}, {"kind": "heat", "title": ""},
    {"kind": "labels", "title": "semantic map"},
]  # fmt: skip
PANELS = [{"module": "stages.graph_cut.panel", "code": ""}]
CUT_CONFIG = {"solver": "multiway", "warn_share": 0.9}


def rectangles(folder, *, categories=None, n_train=4, n_val=2, size=(48, 64), masked=None):
    """(Index, truth) of photos with two rectangles each, one of them of class 1; PNG files below `folder`."""
    categories = categories or {1: "cat", 2: "dog"}
    rng = np.random.default_rng(0)
    number, (height, width) = n_train + n_val, size
    truth = InstancesBuilder(categories)
    names = [f"photo_{k}" for k in range(number)]
    for k, name in enumerate(names):
        masks = np.zeros((2, height, width), bool)
        masks[0, 6 : 24 + k, 4:24] = True
        masks[1, 20:44, 30 : 50 + k] = True
        photo = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
        photo[masks[0]] = (200, 120, 60)
        photo[masks[1]] = (60, 120, 200)
        cv2.imwrite(str(folder / f"{name}.png"), photo[:, :, ::-1])
        truth.add(name, size, masks, category=[1, 1 + k % 2])
    train = np.arange(number) < n_train
    index = Index.build(
        folder, categories, image_id=names, path=[f"{name}.png" for name in names], size=[size] * number,
        tags=[sorted({1, 1 + k % 2}) for k in range(number)], train=train,
        with_masks=train if masked is None else train & (np.arange(number) < masked), val=~train, shards=2,
    )  # fmt: skip
    return index, truth.finish()


def save(artifact, path, *, stage, inputs=(), function="run", config=None, warnings=(), **counts):
    """An artifact with its manifest and its .run.json, as the adapter leaves them."""
    artifact.save(path)
    manifest.write_manifest(
        manifest_path(path), artifacts={path.name: artifact}, numbers=counts, warnings=warnings,
        section={"stage": stage, "function": function, "config": config or {"key": 1}, "seed": 0},
        inputs={"/".join(manifest_path(one).parts[-3:]): {} for one in inputs},
    )  # fmt: skip
    timed(manifest_path(path))
    return path


def timed(path, *, began=100.0, seconds=3.25):
    """The .run.json beside the manifest `path`."""
    run = {"schema": "run/1", "versions": {"torch": "2.11.0"}, "python": "3.11.7", "device": "cpu", "threads": 1,
           "began": began, "ended": began + seconds, "wall_seconds": seconds, "cpu_seconds": 2.5,
           "peak_memory_mb": 321.0}  # fmt: skip
    manifest.write_json(path.with_suffix(".run.json"), run)


class Weights:
    """What stands for trained weights: only its manifest is read."""

    schema = "weights/1"

    def arrays(self):
        return {}

    def save(self, path):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")


def shaken(truth, names, *, by, score):
    """Labels of the photos `names`: the true masks moved `by` pixels, every score `score`."""
    place = {name: i for i, name in enumerate(truth.image_id)}
    table = InstancesBuilder(truth.categories)
    for name in names:
        masks = np.roll(truth.masks(place[name]), by, axis=(1, 2))
        category = truth.category[truth.rows(place[name])]
        table.add(name, truth.size[place[name]], masks, category=category, score=np.full(len(category), score))
    return table.finish()


def make(folder, index, truth, *, recipes=RECIPES, images="all", trained=None, warning=None, run="trial"):
    """Inputs of the stage for a run below `folder`; labels and predictions are the truth, moved a little.

    trained : {recipe: photos in its weights' manifest}. images : the key refine.images. warning : one for graph_cut.
    """
    root = folder / "results" / run
    at = SimpleNamespace(index=root / "images/default/index.zarr.zip", truth=root / "images/default/truth.zarr.zip")
    save(index, at.index, stage="images")
    save(truth, at.truth, stage="images")
    photos = {split: [index.image_id[i] for i in index.where(split)] for split in ("train", "with_masks", "val")}
    masked = measures.subset(truth, photos["with_masks"], where="truth")
    seen = measures.subset(truth, photos["val"], where="truth")
    made = {"proposals": [], "cam": [], "peaks": [], "semantic": []}
    for shard in range(index.shards):
        names = [index.image_id[i] for i in index.of_shard(shard)]
        for key, stage, suffix, table in (
            ("proposals", "proposals/default", "zarr.zip", shaken(truth, names, by=(0, 1), score=0.5)),
            ("cam", "cam/plain", "cam.zarr.zip", blurred(truth, names)),
            ("peaks", "cam/plain", "peaks.zarr.zip", centres(truth, names)),
            ("semantic", "semantic/default", "zarr.zip", painted(truth, names)),
        ):
            path = root / stage / f"{shard:04d}.{suffix}"
            made[key].append(save(table, path, stage=stage.split("/")[0]))
    at.picture_0, at.picture_1, at.picture_2, at.picture_3 = (
        made[key] for key in ("proposals", "cam", "cam", "semantic")
    )
    at.picture_2_peaks = made["peaks"]
    cut = root / "graph_cut/cam/labels.zarr.zip"
    save(shaken(truth, photos["train"], by=(0, 2), score=0.9), cut, stage="graph_cut",
         config=CUT_CONFIG, warnings=[warning] if warning else [], **CUT_COUNTS)  # fmt: skip
    at.panel_0 = [manifest_path(cut)]
    at.labels, at.predictions, at.metrics = [], [], []
    for k, recipe in enumerate(recipes):
        labels = shaken(truth, photos["train"], by=(0, 2 * k if recipe["name"] != "full" else 0), score=0.9)
        path = root / "pseudo_labels" / recipe["name"] / "labels.zarr"
        before = [cut] if recipe["stage"] == "graph_cut" else []
        at.labels.append(save(labels, path, stage="pseudo_labels", inputs=before, photos_without=0))
        predictions = None
        if recipe["trains"]:
            own = root / "refine" / recipe["name"]
            number = (trained or {}).get(recipe["name"], len(photos["train"]))
            save(Weights(), own / "weights.pt", stage="refine", function="train", inputs=[path],
                 config={"images": images}, photos=number)  # fmt: skip
            predictions = shaken(truth, photos["val"], by=(0, 3 * k), score=0.8 if k else 0.2)
            at.predictions.append(
                save(predictions, own / "predictions.zarr.zip", stage="refine", inputs=[own / "weights.pt"])
            )
        metrics = {
            "labels": measures.instance_metrics(masked, labels, EvaluateConfig()) if photos["with_masks"] else None,
            "predictions": None, "proposals": None,
        }  # fmt: skip
        if predictions is not None:
            metrics["predictions"] = measures.instance_metrics(seen, predictions, EvaluateConfig())
        at.metrics.append(root / "evaluate" / recipe["name"] / "metrics.json")
        manifest.write_json(at.metrics[-1], metrics)
        timed(at.metrics[-1], began=110.0, seconds=1.5)
    return at


def without_truth(at):
    """The same inputs as the rule gives them where there is no ground truth."""
    return SimpleNamespace(**{k: v for k, v in vars(at).items() if k not in ("truth", "metrics")})


def by_class(truth, name):
    i = truth.image_id.index(name)
    masks, categories = truth.masks(i), truth.category[truth.rows(i)]
    return {int(c): masks[categories == c].any(0) for c in np.unique(categories)}, tuple(truth.size[i])


def blurred(truth, names):
    maps = MapsBuilder(np.float16)
    for name in names:
        found, size = by_class(truth, name)
        small = tuple(max(2, n // 8) for n in size)
        maps.add(name, size, [(c, cv2.resize(cv2.blur(m.astype(np.float32), (max(3, size[0] // 5),) * 2), small[::-1],
                                             interpolation=cv2.INTER_AREA)) for c, m in found.items()])  # fmt: skip
    return maps.finish()


def painted(truth, names):
    maps = MapsBuilder(np.uint8)
    for name in names:
        found, size = by_class(truth, name)
        picture = np.zeros(size, np.uint8)
        for mask in found.values():
            picture[cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))) > 0] = 255
        for category, mask in found.items():
            picture[mask] = category
        maps.add(name, size, [(0, picture)])
    return maps.finish()


def centres(truth, names):
    yx, category, first = [], [], [0]
    for name in names:
        rows = truth.rows(truth.image_id.index(name))
        x, y, w, h = truth.bbox[rows].T
        yx.append(np.stack([y + h / 2, x + w / 2], 1).astype(np.int32))
        category.append(truth.category[rows])
        first.append(first[-1] + len(x))
    return Table("peaks/1", {
        "image_id": np.array(names, dtype=str), "first": np.array(first, np.int64),
        "category": np.concatenate(category), "yx": np.concatenate(yx),
        "score": np.ones(first[-1], np.float32),
    })  # fmt: skip


def cut_rows(*names):
    rows = [{"name": name, "tone": f"method{k}"} for k, name in enumerate(names)]
    return rows, [{"stage": "graph_cut", "variant": name} for name in names]


def write_cut(folder, variant, *, config=None, **counts):
    path = folder / "graph_cut" / variant / "labels.json"
    section = {"config": {**CUT_CONFIG, **(config or {})}}
    manifest.write_json(path, {"counts": {**CUT_COUNTS, **counts}, "section": section})
    return path


def snapshot(iteration, hits, labels=10):
    return {
        "iteration": iteration,
        "photos": 4,
        "objects": 8,
        "instances": labels,
        "true_positives": hits,
        "mAP50": 0.1,
    }
