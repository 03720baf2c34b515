"""CVAT for images 1.1: one XML file to upload to a task, masks as run lengths in their boxes.

Create the task with the same class names, and the text attribute `score` at each if CVAT shall keep the scores.
"""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tag2mask.data.formats import Export


def write(export: Export, out: Path) -> None:
    """The file `out`; an <image> with its <mask>s for every photo."""
    table = export.table
    page = ElementTree.Element("annotations")
    text(page, "version", "1.1")
    task = ElementTree.SubElement(ElementTree.SubElement(page, "meta"), "task")
    for name, value in (("name", export.out.stem), ("size", str(table.images)), ("mode", "annotation")):
        text(task, name, value)
    labels = ElementTree.SubElement(task, "labels")
    for _, name in sorted(table.categories.items()):
        label = ElementTree.SubElement(labels, "label")
        text(label, "name", name)
        score = ElementTree.SubElement(ElementTree.SubElement(label, "attributes"), "attribute")
        for key, value in (("name", "score"), ("mutable", "False"), ("input_type", "text"), ("default_value", "")):
            text(score, key, value)
    for i, file in enumerate(export.files):
        height, width = (str(side) for side in table.size[i].tolist())
        image = ElementTree.SubElement(page, "image", id=str(i), name=file, width=width, height=height)
        for mask, name, score_of in zip(table.masks(i), export.names(i), export.scores(i)):
            shape = ElementTree.SubElement(image, "mask", {"label": name, "source": "auto", **box_and_runs(mask)})
            text(shape, "attribute", str(score_of)).set("name", "score")
    ElementTree.indent(page)
    ElementTree.ElementTree(page).write(out, encoding="utf-8", xml_declaration=True)


def text(parent: ElementTree.Element, name: str, value: str) -> ElementTree.Element:
    """A new element with a text."""
    element = ElementTree.SubElement(parent, name)
    element.text = value
    return element


def box_and_runs(mask: np.ndarray) -> dict[str, str]:
    """The attributes of a mask (H, W) bool: its box and, as rle, row-major run lengths in it, background first."""
    down, across = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    inner = mask[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    flat = np.concatenate([[False], inner.ravel()])  # one pixel of background before it, so that it comes first
    runs = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]]))
    runs[0] -= 1
    numbers = {"left": across[0], "top": down[0], "width": inner.shape[1], "height": inner.shape[0]}
    own = {"rle": ", ".join(map(str, runs.tolist())), "occluded": "0", "z_order": "0"}
    return {name: str(value) for name, value in numbers.items()} | own
