"""`python -m stages.report picture RUN_FOLDER OUT.png`: a small grid of one run's pictures, for a README."""

import argparse
import sys
from pathlib import Path

from tag2mask.errors import UserError


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m stages.report", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    picture = commands.add_parser("picture", help="a grid of photos and what the stages made of them")
    picture.add_argument("run", type=Path, help="results folder of a run, as results/demo")
    picture.add_argument("out", type=Path, help="PNG file to write")
    picture.add_argument("--photos", type=int, default=4, help="rows; photos spread over the training photos")
    picture.add_argument("--recipes", nargs="*", help="recipes whose pseudo labels are shown; default the first two")
    given = parser.parse_args(argv)
    from stages.report import grid

    try:
        size = grid.write(given.run, given.out, photos=given.photos, recipes=given.recipes)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.out}: {size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
