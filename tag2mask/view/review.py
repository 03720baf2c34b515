"""One page to look through labels with: photos sorted by doubt, every mask to accept or reject. Opens without a server.

Photos are data URIs, masks are paths; style and script stand in the page, which forbids itself any other source.
"""

import base64
import json
from pathlib import Path

import cv2
import jinja2
import numpy as np

from tag2mask.data.instances import CORRECTIONS
from tag2mask.data.outlines import polygons
from tag2mask.store import store
from tag2mask.view import draw
from tag2mask.view.text import share

SIDE = 800  # longer side of a photo on the page
QUALITY = 78  # of its JPEG
FINE = 0.75  # pixels of the page by which an outline may be off


def page(labels, read, doubts, *, title, most, earlier=None):
    """(HTML, number of photos on it) of the `most` most doubtful photos of `labels` (Instances).

    read : photo number -> (H, W, 3) uint8 RGB. doubts : one Doubt a photo. earlier : what the page saved before, whose
    decisions it begins with.
    """
    order = sorted(range(labels.images), key=lambda i: (-doubts[i].total, i))[:most]
    palette = draw.Palette([key for key in labels.categories if key > 0])
    colours = {name: palette.css(key) for key, name in sorted(labels.categories.items())}
    content = {
        "title": title,
        "classes": colours,
        "photos": [shown(labels, i, read(i), doubts[i]) for i in order],
        "earlier": (earlier or {}).get("photos", []),
        "key": store.digest(labels.arrays())[:16],
    }
    # the one sign that could end the script element early
    data = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    return template().render(title=title, data=data, schema=CORRECTIONS, left=labels.images - len(order)), len(order)


def shown(labels, i, photo, doubt):
    """What the page's script is told of a photo."""
    rows = labels.numbers(i)
    height, width = labels.size[i].tolist()
    scale = min(1.0, SIDE / max(height, width))
    return {
        "id": labels.image_id[i],
        "size": [height, width],
        "image": data_uri(photo, scale),
        "doubt": round(doubt.total, 4),
        "reasons": reasons(doubt, len(rows), labels.categories),
        "masks": [
            {
                "category": labels.categories[int(labels.category[n])],
                "score": round(float(labels.score[n]), 4),
                "area": round(float(labels.area[n])),
                "path": path(labels.mask(n), FINE / scale),
                "counts": code["counts"].decode("ascii"),
            }
            for n, code in zip(rows, labels.rles(labels.rows(i)))
        ],
    }


def data_uri(photo, scale):
    """The photo as JPEG, `scale` times as large."""
    height, width = photo.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA) if scale < 1 else photo
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def path(mask, fine):
    """The outlines of a mask (H, W) bool as an SVG path in pixels of the photo, off by at most `fine` of them."""
    rings = [ring for outer, holes in polygons(mask) for ring in (outer, *holes)]
    thin = [cv2.approxPolyDP(ring.astype(np.float32), fine, True)[:, 0] for ring in rings]
    return "".join("M" + "L".join(f"{x:g},{y:g}" for x, y in ring.tolist()) + "Z" for ring in thin)


def reasons(doubt, number, names):
    """Why to look at a photo, in a few words each."""
    found = [f"no {names[key]}" for key in doubt.untold]
    if doubt.unsure >= 0.5:
        found.append(f"lowest score {1 - doubt.unsure:.2f}")
    if doubt.many >= 0.5:
        found.append(f"{number} masks")
    if doubt.apart >= 0.25:
        found.append(f"agrees {share(1 - doubt.apart, 0)} %")
    return found


def template():
    """The page's template, which takes in its style and its script."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=jinja2.select_autoescape(["html.jinja"]))
    return environment.get_template("review.html.jinja")
