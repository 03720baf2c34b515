"""Jobs that hold tables of a whole dataset, at two sizes of it up to COCO's: seconds and peak memory.

    python -m benchmarks.scale                            # 10,000 and 118,287 photos, hours on two cores, 15 GB of disk
    python -m benchmarks.scale --photos 1000 --no-page    # a look

Every job is a process of its own, on stores that `benchmarks.scale_stores` fabricates in a folder that is deleted
afterwards. No network runs and no photo is looked at (but those of the report's pictures): what is measured is what
grows with the tables. What was found lies in results/bench-scale.json; the section "scale" of docs/benchmarks.md is
made of it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from benchmarks import sections

FOUND = Path("results/bench-scale.json")
SIZES = (10_000, 118_287)
LIMITS = {"graph_cut": 6000}  # MB at COCO's size
LIMIT = 4000
GROWTH = 1.2  # of the processor time a photo, from the first size to the last
COMMAND = "make bench-scale"
NOT_REACHED = "**not reached**"


def images(folder):
    """The reader of COCO's files: tags at first, masks afterwards. Photos are not decoded in between."""
    from stages.images import coco
    from stages.images.config import Config
    from tag2mask.data.index import Index

    config = Config(kind="coco", root=str(folder / "data"), train_json="train.json", val_json="val.json",
                    train_photos="train", val_photos="val")  # fmt: skip
    listing = coco.read(config, job())
    save({"truth": folder / "made/images/truth.zarr.zip"}, {"truth": listing.truth(Index.load(folder / INDEX))})


def graph_cut(folder):
    """What is left when the cut is solved: the nodes with a class become instances."""
    import numpy as np

    from benchmarks.scale_stores import LABELLED
    from stages.graph_cut.cut import chosen
    from tag2mask.data.instances import Instances

    rng, stores = np.random.default_rng(0), sorted((folder / "proposals").iterdir())
    shards = [np.arange(len(Instances.open(path))) for path in stores]
    nodes = sum(map(len, shards))
    label = np.where(rng.random(nodes) < LABELLED, rng.integers(1, 81, nodes), 0)
    made = chosen(stores, shards, label, score=rng.random(nodes).astype(np.float32), labels=np.arange(81))
    save({"instances": folder / "made/graph_cut/instances.zarr.zip"}, {"instances": made})


def pseudo_labels(folder):
    """Shards become the store and the JSON of a recipe, box NMS included."""
    from stages import pseudo_labels
    from stages.pseudo_labels.config import Config

    inputs = SimpleNamespace(index=folder / INDEX, instances=sorted((folder / "instances").iterdir()))
    made = pseudo_labels.run(inputs, Config(), job())
    save({"labels": folder / LABELS, "coco": folder / "made/pseudo_labels/labels.coco.json"}, made)


def evaluate(folder):
    """The labels of all training photos and the predictions of the held-out ones."""
    from stages import evaluate
    from stages.evaluate.config import Config

    inputs = SimpleNamespace(index=folder / INDEX, truth=folder / TRUTH, labels=folder / LABELS,
                             predictions=folder / PREDICTIONS)  # fmt: skip
    save({"metrics": folder / "made/evaluate/metrics.json"}, evaluate.run(inputs, Config(), job()))


def refine_train(folder):
    """Every photo's masks once, in the order of a training."""
    from stages.refine.learn import teaching

    for labels, image, rows in shuffled(folder, teaching):
        assert len(labels.masks(image)) >= len(rows)


def segment_train(folder):
    """Every photo's class map once, in the order of a training."""
    from stages.segment.data import class_map
    from stages.segment.learn import teaching
    from tag2mask.data.labelmaps import class_numbers

    number = class_numbers(range(1, 81))
    for labels, image, _ in shuffled(folder, teaching):
        class_map(labels, image, number)


def shuffled(folder, teaching):
    """(labels, image, rows) of every photo that teaches."""
    import numpy as np

    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances
    from tag2mask.learn.photos import labelled_photos

    labels = Instances.open(folder / LABELS).unpacked()
    photos = labelled_photos(Index.load(folder / INDEX), labels, teaching(labels), images="all", stage="scale")
    for k in np.random.default_rng(0).permutation(len(photos)):
        yield labels, *photos[k][1:]


def report(folder):
    """The page of one recipe, with its pictures."""
    from stages import report
    from stages.report.config import Config

    recipe = {"name": "scale", "stage": "reference", "variant": "full", "supervision": "masks", "kind": "full",
              "trains": True}  # fmt: skip
    inputs = SimpleNamespace(index=folder / INDEX, labels=[folder / LABELS], truth=folder / TRUTH,
                             predictions=[folder / PREDICTIONS])  # fmt: skip
    made = report.run(inputs, Config(recipes=[recipe]), job())
    save({"report": folder / "made/report/report.html", "table": folder / "made/report/table.md"}, made)


JOBS = (images, graph_cut, pseudo_labels, evaluate, refine_train, segment_train, report)
INDEX, TRUTH, PREDICTIONS = "index.zarr.zip", "truth.zarr.zip", "predictions.zarr.zip"
LABELS = "made/pseudo_labels/labels.zarr"


def job():
    from tag2mask.run.job import Job

    return Job()


def save(outputs, made):
    """Write what was made as the adapter does, manifests included."""
    from tag2mask.run import adapter

    adapter.save(outputs, made, job(), section={"config": {}}, inputs={})


def measure(work, folder):
    """{"seconds", "cpu", "mb"}: of one job in this process; cpu : seconds of processor time."""
    begun, busy = time.perf_counter(), time.process_time()
    work(folder)
    seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 1), "cpu": round(busy, 1), "mb": round(peak)}


def started(folder, name, photos):
    """What a process of its own prints: `fabricate`, or the measures of the job of that name."""
    command = [sys.executable, "-m", "benchmarks.scale", "--folder", folder, "--job", name, "--photos", str(photos)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def size(photos, folder, log):
    """{job: {"seconds", "cpu", "mb"}} at one size."""
    log(f"{photos} photos: fabricated in {started(folder, 'fabricate', photos)['seconds']:.0f} s")
    found = {}
    for work in JOBS:
        found[work.__name__] = one = started(folder, work.__name__, photos)
        log(f"{photos} photos: {work.__name__} {one['seconds']:.0f} s, {one['cpu']:.0f} busy, {one['mb']:,} MB")
    return found


def text(found, command):
    """The section. found : {photos: {job: {"seconds", "cpu", "mb"}}}."""
    sizes = sorted(found)
    first, last = sizes[0], sizes[-1]
    columns = [f"{what}, {photos:,} photos" for photos in sizes for what in ("s", "CPU s", "peak MB")]
    lines = [f"| job | {' | '.join(columns)} | CPU time a photo, growth |", "|---|" + "---:|" * (len(columns) + 1)]
    slow, large = [], []
    for name in found[last]:
        values = [
            f"{one['seconds']:,.1f} | {one['cpu']:,.1f} | {one['mb']:,}" for one in (found[n][name] for n in sizes)
        ]
        grown = found[last][name]["cpu"] / found[first][name]["cpu"] * first / last
        lines.append(f"| {name} | {' | '.join(values)} | {grown:.2f} |")
        slow += [name] * (grown > GROWTH)
        large += [name] * (found[last][name]["mb"] > LIMITS.get(name, LIMIT))
    targets = (
        f"Processor time grows no faster than the photos do, to within 20 %: {verdict(slow)}. "
        f"Every job under {LIMIT:,} MB, graph_cut under {LIMITS['graph_cut']:,} MB: {verdict(large)}."
    )
    return f"""### Tables of a whole dataset

`{command}`: jobs that hold tables of all photos, each in a process of its own, on fabricated stores: ellipses on
photos of 480 x 640 pixels, 7.3 objects a photo of 80 classes, 40 nodes a photo for `graph_cut`, a quarter with a class.
`images` reads COCO's JSON (tags, then masks), `graph_cut` makes instances once the cut is solved, `refine_train` and
`segment_train` read every photo's labels once in random order; no photo is decoded but the report's, no network runs.

{chr(10).join(lines)}

{targets}
"""


def verdict(names):
    return f"{NOT_REACHED} by {', '.join(names)}" if names else "reached"


def main(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=SIZES)
    parser.add_argument("--no-page", action="store_true", help="write neither page nor results")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # of a process of its own
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args(given)
    if given.job:
        from benchmarks.scale_stores import fabricate

        works = {work.__name__: work for work in JOBS}
        work = works.get(given.job) or (lambda folder: fabricate(folder, photos=given.photos[0]))
        print(json.dumps(measure(work, given.folder)))
        return
    found = {int(n): one for n, one in json.loads(FOUND.read_text()).items()} if FOUND.exists() else {}
    for photos in given.photos:
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            found[photos] = size(photos, Path(folder), lambda line: print(line, flush=True))
        if not given.no_page:
            FOUND.parent.mkdir(parents=True, exist_ok=True)
            FOUND.write_text(json.dumps(found, indent=1))
    page = text(found, COMMAND)
    if not given.no_page:
        sections.write("scale", page)
    if NOT_REACHED in page:
        raise SystemExit(next(line for line in page.splitlines() if NOT_REACHED in line))


if __name__ == "__main__":
    main()
