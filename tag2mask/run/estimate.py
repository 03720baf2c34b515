"""What a run will need of disk and memory, beside what is free, before it starts."""

import os
import shutil
from pathlib import Path

import psutil

from tag2mask.run.lease import available
from tag2mask.run.plan import Plan, View
from tag2mask.run.registry import Stage, dataset, of, stages
from tag2mask.run.request import memory_mb


def lines(plan: Plan) -> list[str]:
    """Lines of text: photos, disk and memory needed by the shown recipes, and free."""
    photos = plan.photos
    if photos is None:
        return ["estimate: none, for the dataset's list of training photos cannot be read"]
    scenes = plan.config(dataset().word)["kind"] == "scenes"
    scale = 1 / 3 if scenes else 1  # the stages' own numbers are of photos of about 500 x 400 pixels
    shown = {pair for recipe in plan.show for pair in plan.closure(*plan.source(recipe))}
    disk = memory = 0.0
    for stage in stages().values():
        for view in views(plan, stage, shown):
            disk += of(stage.disk_kb, view) * photos * scale / 1e6 + stage.disk_mb / 1e3
            processes = min(plan.gpus, len(available())) if "train" in stage.jobs else 1
            memory = max(memory, memory_mb(stage, view, photos) * max(1, processes) / 1e3)
    folder = next(path for path in (Path("results"), Path(".")) if path.exists())
    free_disk = shutil.disk_usage(folder).free / 1e9
    free_memory = psutil.virtual_memory().available / 1e9
    found = [
        f"estimate: {photos} training photos; disk about {disk:.2g} GB (free {free_disk:.0f} GB), "
        f"memory about {memory:.2g} GB a job (available {free_memory:.0f} GB), {os.cpu_count()} cores"
    ]
    if disk > free_disk or memory > free_memory:
        found.append("WARNING: that is more than is free; make room before hours are spent, or use fewer photos")
    return found


def views(plan: Plan, stage: Stage, shown: set[tuple[str, str]]) -> list[View]:
    """What runs of a stage: the variants that lead to what is shown, or the shown recipes of a shared stage."""
    if stage.shared:
        return [plan.view(stage.word, recipe=recipe) for recipe in plan.runs(stage.word)]
    own = [one for one in plan.declared(stage.word) if (stage.word, one) in shown or stage.word == dataset().word]
    return [plan.view(stage.word, one) for one in own]
