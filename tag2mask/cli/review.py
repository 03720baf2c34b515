"""Look through labels and accept or reject masks: tag2mask review LABELS [OUT.html] [--compare LABELS ...]

LABELS: a store of instances, as results/<run>/pseudo_labels/<recipe>/labels.zarr. OUT.html, by default review.html, is
one page that needs no server and nothing from outside: photos sorted by doubt (tags without an instance, a low score,
many instances, and, with --compare, how little other labels of the same photos agree), every mask to accept or reject
with the keyboard. It saves a small JSON, which goes on as `pseudo_labels: {corrections: FILE}`; --earlier takes such a
file up again.
"""

import argparse
import json
from pathlib import Path

from tag2mask.cli.export import named
from tag2mask.cli.inspect import INDEX
from tag2mask.data.index import index_near
from tag2mask.data.instances import CORRECTIONS, Instances
from tag2mask.data.photo import read_photo
from tag2mask.errors import UserError
from tag2mask.store import manifest
from tag2mask.view import doubt, review


def arguments(parser: argparse.ArgumentParser) -> None:
    """LABELS, OUT.html and the options."""
    parser.add_argument("labels", metavar="LABELS", type=Path)
    parser.add_argument("out", metavar="OUT.html", type=Path, nargs="?", default=Path("review.html"))
    parser.add_argument("--compare", metavar="LABELS", type=Path, nargs="+", default=[], help="of other recipes")
    parser.add_argument("--earlier", metavar="FILE", type=Path, help="JSON that the page saved, to go on from")
    parser.add_argument(
        "--most", metavar="N", type=int, default=300, help="photos on the page, the most doubtful (300)"
    )
    parser.add_argument("--root", metavar="FOLDER", type=Path, help="where the photos are, of a store outside a run")


def main(given: argparse.Namespace) -> None:
    """Write the page. UserError where photos are not known or the earlier file is another one."""
    labels, index = Instances.load(given.labels), index_near(given.labels, INDEX)
    files, root = named(labels, index, given.root)
    if root is None:
        raise UserError(f"{given.labels} does not lie in a run, so its photos are not known; name their --root.")
    others = [Instances.load(path) for path in given.compare]
    tags = {} if index is None else {name: index.tags(i) for i, name in enumerate(index.image_id)}
    html, number = review.page(
        labels.replaced(categories={0: "proposal"} | labels.categories),
        lambda i: read_photo(root / files[i]),
        doubt.doubts(labels, tags, others),
        title=given.labels.resolve().parent.name,
        most=given.most,
        earlier=None if given.earlier is None else saved(given.earlier),
    )
    manifest.write_text(given.out, html)
    print(f"{given.out}: {number} of {labels.images} photos, {len(html) / 1e6:.1f} MB; open it in a browser")


def saved(path: Path) -> dict:
    """What the page saved before."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--earlier: {path} cannot be read as JSON ({error}); name what the page saved.") from None
    if not isinstance(content, dict) or content.get("schema") != CORRECTIONS:
        raise UserError(f"--earlier: {path} is not what the page saves; name such a file.")
    return content
