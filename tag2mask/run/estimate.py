"""What a run will need of disk and memory, beside what is free, before it starts."""

import os
import shutil
from pathlib import Path

import psutil

from tag2mask.run.plan import Plan
from tag2mask.run.registry import dataset, stages


def lines(plan: Plan) -> list[str]:
    """Lines of text: photos, disk and memory needed by the shown recipes, and free."""
    given, count = plan.config(dataset().word), dataset().count
    photos = count(given) if count else None
    if photos is None:
        return ["estimate: none, for the dataset's list of training photos cannot be read"]
    scale = 1 / 3 if given["kind"] == "scenes" else 1  # the stages' own numbers are of photos of about 500 x 400 pixels
    shown = {pair for recipe in plan.show for pair in plan.closure(*plan.source(recipe))}
    disk = memory = 0.0
    for word, stage in stages().items():
        own = [one for one in plan.declared(word) if (word, one) in shown or word == dataset().word]
        made = plan.runs(word) if stage.shared else own
        if not made:
            continue
        disk += len(made) * (stage.disk_kb * photos * scale / 1e6 + stage.disk_mb / 1e3)
        whole = max((stage.memory_kb(plan.view(word, one)) for one in made), default=0.0) if not stage.shared else 0.0
        memory = max(memory, stage.peak_mb / 1e3 + whole * photos / 1e6)
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
