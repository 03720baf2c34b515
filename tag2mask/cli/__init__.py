"""The command `tag2mask`: all that is done by hand. The pipeline itself is run by `snakemake`.

Four commands are its own, the others are declared by stages; a command's module is imported when it is asked for.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tag2mask.errors import UserError
from tag2mask.run.registry import Command, stages

OWN = {
    "predict": Command("tag2mask.cli.predict", "segment any photos with trained weights"),
    "inspect": Command("tag2mask.cli.inspect", "show what a store holds, as text and as a picture"),
    "export": Command("tag2mask.cli.export", "write a store for other tools: COCO, YOLO, CVAT, ..."),
    "review": Command("tag2mask.cli.review", "make a page to accept or reject masks with the keyboard"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of a command line; SystemExit where argparse answers by itself (--help, a wrong word).

    What a user can mend is said in one sentence, exit status 1; after Ctrl-C it is 130.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    known = commands()
    given = parser(known, words[0] if words and words[0] in known else "").parse_args(words)
    try:
        status = importlib.import_module(known[given.command].module).main(given)
        sys.stdout.flush()
        return status or 0
    except UserError as error:
        return said(str(error))
    except BrokenPipeError:  # piped into head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = error.filename or getattr(given, "out", None) or "A file"
        unread = Path(where).is_file() and not os.access(where, os.R_OK)
        way_out = "allow it" if unread else "make room or name another place"
        return said(f"{where} cannot be {'read' if unread else 'written'} ({error.strerror}); {way_out}.")
    except KeyboardInterrupt:
        return said(f"Interrupted: {given.command} did not come to its end.", 130)


def commands() -> dict[str, Command]:
    """word -> Command of all, its own first, then the stages' in the order of the work."""
    return OWN | {word: command for stage in stages().values() for word, command in stage.commands.items()}


def parser(known: dict[str, Command], asked: str) -> argparse.ArgumentParser:
    """The parser of all commands; only the one that is asked for has its arguments, as its module knows them."""
    whole = argparse.ArgumentParser(prog="tag2mask", description=__doc__.partition("\n")[0])
    several = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for word, command in known.items():
        module = importlib.import_module(command.module) if word == asked else None
        text = module.__doc__ if module else None
        raw = argparse.RawDescriptionHelpFormatter
        one = several.add_parser(word, help=command.help, description=text, formatter_class=raw)
        if module:
            module.arguments(one)
    return whole


def said(sentence: str, status: int = 1) -> int:
    """Say it on the error stream; returns the exit status."""
    print(sentence, file=sys.stderr)
    return status
