"""What every stage says of itself in `stages/<word>/stage.py`, found by its folder.

A stage is a folder with a `stage.py` whose STAGE is a `Stage`. Plan, rules, estimate, report and commands know stages
by these declarations alone; none of them holds a stage's name.
"""

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

STAGES_FOLDER = Path(__file__).resolve().parents[2] / "stages"


def always(view: Any) -> bool:
    """The condition of what never falls away."""
    return True


def never(view: Any) -> bool:
    """The condition of what no variant has."""
    return False


@dataclass(frozen=True)
class Read:
    """An artifact that a stage reads. what : "<stage>.<artifact>".

    when : View -> bool, whether a variant reads it; where not, the rule's input of that name is empty.
    """

    what: str
    when: Callable[[Any], bool] = always

    @property
    def stage(self) -> str:
        """The word of the stage that writes it."""
        return self.what.partition(".")[0]

    @property
    def artifact(self) -> str:
        """Its name among the outputs of that stage's rules."""
        return self.what.partition(".")[2]


@dataclass(frozen=True)
class Write:
    """An artifact that a stage writes. schema : "name/version", or "" for a file that is no store.

    when : View -> bool, whether it is written; missing : what to say of a recipe that needs it where it is not.
    """

    schema: str
    when: Callable[[Any], bool] = always
    missing: str = ""


@dataclass(frozen=True)
class Job:
    """A function of a stage as a rule of the workflow runs it.

    reads : input -> Read; the index is an input of every job and needs no mention. writes : output -> Write. mem_mb :
    what a scheduler is asked for at least. minutes : likewise, of a job of one shard for every 1,000 photos; (View,
    photos) -> minutes where they grow otherwise. seeded : View -> bool, whether its result depends on the seed. device
    : View -> bool, whether a variant computes with a network and wants a device though its rule is a `cpu_job`.
    """

    reads: Mapping[str, Read] = field(default_factory=dict)
    writes: Mapping[str, Write] = field(default_factory=dict)
    mem_mb: int = 4000
    minutes: float | Callable[[Any, float], float] = 60
    seeded: Callable[[Any], bool] = never
    device: Callable[[Any], bool] = never


@dataclass(frozen=True)
class Picture:
    """A picture of a training photo in the report: what of this stage's artifacts a reading stage sees.

    kind : the drawing, "proposals", "heat" or "labels". maps : the artifact that is drawn. peaks : the artifact whose
    peaks lie over it, or "". title : str, or "" where the stores name themselves (attribute `title`).
    """

    kind: str
    maps: str
    peaks: str = ""
    title: str = ""


@dataclass(frozen=True)
class Command:
    """A command of `tag2mask`. module : has `arguments(parser)`, `main(given)` -> exit status or None, and a docstring,
    its help; it is imported when the command is asked for. help : what it does, a few words.
    """

    module: str
    help: str


@dataclass(frozen=True)
class Stage:
    """What a stage reads, makes, needs and shows. Callables get a `View` of one variant, unless said otherwise.

    jobs : function of `stages.<word>` ("run", "train", "predict") -> Job. section : name of its configuration section,
    by default its word. shared : part of the road that all recipes share; it has no variants.

    labels : the output whose rows can become pseudo labels, or "". whole_proposals : whether these rows are whole
    proposals (box NMS is due). kind : what a recipe with these labels is in the table: "method", "full", "bound",
    "baseline". supervision : "points", "boxes", "masks", ... where the variant uses more than tags, else ""; of a
    shared stage what it adds to every method. extras : what else it rests on that was trained or made elsewhere.
    lacks : one sentence where the variant cannot run, for what it needs is not installed or not named, else "".

    runs_for : (plan, recipe) -> bool, for a shared stage. of_recipe : keys of a shared stage that a recipe may set for
    itself; all others are the same for every row of the table, so that rows compare. fill : (config, view, recipe) ->
    config, keys that the plan decides. measured : part of the metrics -> output. pictures : output -> Picture. panel :
    module with `build(manifests, rows, recipes, colours)` for a part of the report, its template beside it; its input
    is the manifests of the output `labels`.

    alone : output -> "module:function", what the stage makes of one photo outside any run, for commands of stages that
    answer with it: `function(photo, section)`, photo (H, W, 3) uint8 RGB, section the stage's keys as a plain dict;
    what it gives stands there. Jobs read artifacts in place of it.

    schemas : schema -> module that shows such a Table to `tag2mask inspect`: `lines(held, names)` -> list of str,
    `lines_of(held, i, names)` -> the same of image i (None in place of the function: it has no images),
    `draw(held, i, *, names, title)` -> (H, W, 3) uint8, i None for the whole. commands : word -> Command. predict :
    module for `tag2mask predict` with weights whose kind is the stage's word: `OPTIONS`, option -> keywords of
    add_argument, and `predict(given, files, weights, job)` -> what it did, a few words; given : Namespace of the
    options, files : {name: Path}.

    disk_kb : kB a training photo. disk_mb : MB beside that. peak_mb : highest memory of a job with config/cpu.yaml.
    memory_kb : kB a photo that a process holds of all photos of its job. A View decides where they are functions.
    count : dataset section -> number of training photos, or None. settle : section as configured -> as what lies there
    makes it. check : section -> UserError for what is wrong with what lies there, before any work.
    """

    jobs: Mapping[str, Job]
    section: str = ""
    shared: bool = False
    labels: str = ""
    whole_proposals: Callable[[Any], bool] = never
    kind: Callable[[Any], str] = lambda view: "method"
    supervision: Callable[[Any], str] = lambda view: ""
    extras: Callable[[Any], list[str]] = lambda view: []
    lacks: Callable[[Any], str] = lambda view: ""
    runs_for: Callable[[Any, str], bool] = lambda plan, recipe: True
    of_recipe: tuple[str, ...] = ()
    fill: Callable[[dict, Any, str | None], dict] = lambda config, view, recipe: config
    measured: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    panel: str = ""
    alone: Mapping[str, str] = field(default_factory=dict)
    schemas: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, Command] = field(default_factory=dict)
    predict: str = ""
    disk_kb: float | Callable[[Any], float] = 0
    disk_mb: float = 0
    peak_mb: float = 0
    memory_kb: float | Callable[[Any], float] = 0
    count: Callable[[dict], int | None] | None = None
    settle: Callable[[dict], dict] = lambda config: config
    check: Callable[[dict], None] = lambda config: None
    word: str = field(default="", compare=False)  # filled in: the folder's name

    def writes(self, artifact: str) -> Write:
        """The Write of an output of any of its jobs."""
        return next(job.writes[artifact] for job in self.jobs.values() if artifact in job.writes)

    def rule(self, function: str) -> str:
        """The name of the rule of a function: `run` has the stage's word, others `<word>_<function>`."""
        return self.word if function == "run" else f"{self.word}_{function}"

    @property
    def upstream(self) -> tuple[str, ...]:
        """Words of the stages that any of its variants reads, itself not counted, in order of mention."""
        reads = [read.stage for job in self.jobs.values() for read in job.reads.values()]
        return tuple(dict.fromkeys(word for word in reads if word != self.word))


@functools.cache
def stages() -> dict[str, Stage]:
    """word -> Stage of every stage, in the order of the work: none before what it reads, shared ones last."""
    found = {}
    for file in sorted(STAGES_FOLDER.glob("*/stage.py")):
        word = file.parent.name
        found[word] = replace(importlib.import_module(f"stages.{word}.stage").STAGE, word=word)
    first = {word for word, stage in found.items() if stage.section == "dataset"}
    order = TopologicalSorter({word: {*stage.upstream, *first} - {word} for word, stage in found.items()})
    order.prepare()
    words: list[str] = []
    while order.is_active():
        ready = sorted(order.get_ready())
        words += ready
        order.done(*ready)
    return {word: found[word] for word in sorted(words, key=lambda word: found[word].shared)}


def dataset() -> Stage:
    """The stage that reads the dataset and writes the index: its section is `dataset`."""
    return next(stage for stage in stages().values() if stage.section == "dataset")


def rules() -> dict[str, tuple[Stage, str]]:
    """rule -> (Stage, function) of every job of every stage."""
    return {stage.rule(name): (stage, name) for stage in stages().values() for name in stage.jobs}


def alone(what: str) -> Callable[[Any, dict], Any]:
    """The function that makes the artifact "<stage>.<artifact>" of one photo outside any run, imported.

    KeyError where the stage declares none: which artifacts these are, stages know when they are written.
    """
    word, _, artifact = what.partition(".")
    module, _, function = stages()[word].alone[artifact].partition(":")
    return getattr(importlib.import_module(module), function)


def of(declared: float | Callable[[Any], float], view: Any) -> float:
    """A number, or what the function that is declared in its place says of a View."""
    return declared(view) if callable(declared) else declared
