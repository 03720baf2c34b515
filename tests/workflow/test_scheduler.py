"""What jobs ask of a scheduler, as a job that one has started sees it: no --cores says what its nodes have."""

import re

from conftest import Workflow

ASKED = re.compile(r"^rule (\w+):\n(?:    .*\n)*?    threads: (\d+)\n    resources: (.*)$", re.M)


def asked(folder, *args, **environment):
    """rule -> (cores, devices, MB, minutes) of its first job."""
    output = Workflow(folder, cores=64).run(
        "-n", "--mode", "remote", *args, config=("show=[transfer]", "gpus=2", "threads=3"), env=environment
    )
    found = {}
    for rule, threads, resources in ASKED.findall(output):
        one = dict(part.split("=") for part in resources.split(", "))
        found.setdefault(rule, (int(threads), *(int(one[name]) for name in ("gpu", "mem_mb", "runtime"))))
    return found


def test_what_a_scheduler_is_asked_for(tmp_path):
    """The key's threads, eight cores a device; a second attempt has twice the memory and time."""
    first = asked(tmp_path, TAG2MASK_DEVICES="")
    wanted = {
        "transfer": (3, 0, 2000, 60), "cam": (8, 1, 4000, 60), "classifier_train": (16, 2, 12000, 600),
        "images": (3, 0, 4000, 61),
    }  # fmt: skip
    assert wanted.items() <= first.items()
    again = asked(tmp_path, "--attempt", "2", TAG2MASK_DEVICES="0")
    assert again == {name: (*one[:2], 2 * one[2], 2 * one[3]) for name, one in first.items()}
