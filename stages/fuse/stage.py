"""What `fuse` makes: one set of instances from those of several recipes for the same photos."""

from tag2mask.run.registry import Job, Read, Stage, Write

SOURCES = ("bestie", "cim", "graph_cut", "match", "transfer")
MAPS = {
    "cam": "cam.cam",
    "semantic": "semantic.semantic",
    "saliency": "saliency.saliency",
    "edges": "edges.edges",
}
CUT_FROM = ("proposals", "saliency", "semantic")  # the stages whose outlines become those of instances


def named(stage):
    """The condition that the variant's `from` names this stage: what it does not name is not read."""
    return lambda view: view.names(stage)


def lacks(view):
    """One sentence where the variant names nothing to fuse, else ""."""
    if any(view.names(word) for word in SOURCES):
        return ""
    return f"fuse ({view.variant}) fuses nothing: name some of {', '.join(SOURCES)} in `from` of this variant."


def fill(config, view, recipe):
    """What the masks of each source are cut from, so that those of the same are kin."""
    return config | {"cut_from": {word: cut_from(view.of(word)) for word in SOURCES if view.names(word)}}


def cut_from(view):
    """Names of the variants that give a source its outlines: those that it reads itself, and what leads these."""
    plan, stage, variant = view.plan, view.stage, view.variant
    near = {read.stage for read in plan.reads(stage, variant).values()}.intersection(CUT_FROM)
    found = {pair for word in near for pair in plan.closure(word, plan.upstream(stage, variant, word))}
    return sorted(f"{word}.{name}" for word, name in found if word in CUT_FROM)


STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                **{word: Read(f"{word}.instances", when=named(word)) for word in SOURCES},
                **{word: Read(artifact, when=named(word)) for word, artifact in MAPS.items()},
            },
            writes={"instances": Write("instances/1")},
        )
    },
    labels="instances",
    fill=fill,
    lacks=lacks,
    disk_kb=3,
    peak_mb=500,
)
