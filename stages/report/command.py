"""A small grid of one run's pictures, for a README: tag2mask picture RUN OUT.png"""

from pathlib import Path


def arguments(parser):
    """RUN, OUT.png and what the grid shows."""
    parser.add_argument("run", metavar="RUN", type=Path, help="results folder of a run, as results/demo")
    parser.add_argument("out", metavar="OUT.png", type=Path, help="PNG, WebP or JPEG file to write")
    parser.add_argument("--photos", type=int, default=4, help="rows; photos spread over the training photos")
    parser.add_argument("--ids", nargs="+", metavar="ID", default=(), help="these photos in place of them")
    parser.add_argument("--recipes", nargs="*", help="recipes whose pseudo labels are shown; default the first two")


def main(given):
    """Write the picture and say how large it is."""
    from stages.report import grid

    size = grid.write(given.run, given.out, photos=given.photos, ids=given.ids, recipes=given.recipes)
    print(f"{given.out}: {size / 1000:.0f} kB")
