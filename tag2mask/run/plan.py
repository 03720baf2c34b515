"""The whole configuration as one typed object: sections, variants and recipes, and what each job needs of them."""

import importlib
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from tag2mask.errors import UserError
from tag2mask.run.config import Section, mapping, ordered, parse, strings

# What each stage reads of other stages. Only `images` writes ground truth; who may read it is `reads_truth`.
READS = {
    "proposals": (),
    "classifier": (),
    "cam": ("classifier",),
    "semantic": ("cam",),
    "transfer": ("cam", "semantic"),
    "bestie": ("transfer", "semantic"),
    "mil": ("proposals", "cam"),
    "graph": ("mil",),
    "graph_cut": ("mil", "graph"),
    "reference": ("proposals",),
}
SHARED = ("pseudo_labels", "refine", "segment", "evaluate", "report")  # the road from `pseudo_labels` on
STAGES = ("images", *READS, *SHARED)
LABELLING = ("transfer", "bestie", "graph_cut", "reference")  # stages whose instances can become pseudo labels
SCHEMAS = {
    "images": "index/1", "proposals": "instances/1", "classifier": "weights/1", "cam": "maps/1", "semantic": "maps/1",
    "transfer": "instances/1", "bestie": "weights/1", "mil": "mil/1", "graph": "graph/1", "graph_cut": "instances/1",
    "reference": "instances/1", "pseudo_labels": "instances/1", "refine": "weights/1", "segment": "weights/1",
}  # fmt: skip
OUTSIDE = ("weights", "path", "labelled_folder")  # keys that name files and folders from outside the run
NAME = r"^[A-Za-z0-9_-]+$"


class Pipeline(Section):
    """The top level of the configuration; the sections of the stages are checked by the stages' own models."""

    run: str = Field("demo", pattern=NAME, description="name of the results folder below results/")
    seed: int = Field(0, ge=0, description="seed of scenes, training order and initial weights")
    threads: int = Field(1, ge=1, description="torch threads a job; part of what makes a CPU run repeatable")
    gpus: int = Field(
        1,
        ge=0,
        le=1,
        description="devices a GPU job leases where the machine has any; 0 never leases; training on "
        "several is not built",
    )
    variants: dict[str, dict[str, dict]] = Field({}, description="stage -> variant -> its keys and `from`")
    recipes: dict[str, dict[str, str]] = Field({}, description="recipe -> {stage: variant} whose instances it takes")
    show: list[str] = Field([], description="the recipes to build and compare, in the table's order")
    train: list[str] | None = Field(
        None, description="shown recipes that train a Mask R-CNN; null: all but the two baselines, []: none"
    )
    train_segment: list[str] = Field(
        [], description="shown recipes that train a DeepLab on their labels merged by class (stage segment)"
    )
    sections: dict[str, dict] = Field({}, description="stage -> keys, merged under every variant's own")

    TOP: ClassVar[tuple[str, ...]] = (
        "run", "seed", "threads", "gpus", "variants", "recipes", "show", "train", "train_segment",
    )  # fmt: skip

    @classmethod
    def load(cls, config):
        """The Pipeline of a raw configuration dict (as Snakemake hands it over), every section and name checked."""
        stages = ("dataset", *READS, *SHARED)
        for key in config:
            if key not in (*cls.TOP, *stages):
                hint = " (nested keys are set as --config 'dataset={root: /photos}')" if "." in key else ""
                raise UserError(f"{key} is not a known key{hint}; allowed here: {', '.join((*cls.TOP, *stages))}.")
        values = {key: config[key] for key in cls.TOP if config.get(key) is not None}
        for key in ("show", "train", "train_segment"):
            if key in values:
                values[key] = strings(values[key], key)
        values["variants"] = {
            stage: {
                name: mapping(entry, f"variants.{stage}.{name}")
                for name, entry in mapping(entries, f"variants.{stage}").items()
            }
            for stage, entries in mapping(values.get("variants"), "variants").items()
        }
        values["sections"] = {stage: mapping(config.get(stage), stage) for stage in stages}
        plan = parse(cls, values, where="")
        plan.check()
        return plan

    def check(self):
        """Every name that is used is declared, every section fits its stage's model."""
        for stage, entries in self.variants.items():
            if stage not in READS:
                raise UserError(f"variants.{stage} is not a stage with variants; allowed: {', '.join(READS)}.")
            for variant, entry in entries.items():
                self.config(stage, variant)
                for upstream, name in mapping(entry.get("from"), f"variants.{stage}.{variant}.from").items():
                    if upstream not in READS[stage]:
                        known = ", ".join(READS[stage]) or "nothing"
                        raise UserError(f"variants.{stage}.{variant}.from.{upstream}: {stage} reads {known}.")
                    self.require(upstream, name, f"variants.{stage}.{variant}.from")
        for recipe, entry in self.recipes.items():
            if len(entry) != 1 or next(iter(entry)) not in LABELLING:
                raise UserError(
                    f"recipes.{recipe} names one of {', '.join(LABELLING)} and its variant, as {{transfer: default}}."
                )
            self.require(*next(iter(entry.items())), f"recipes.{recipe}")
        named = {"show": self.show, "train": self.train or [], "train_segment": self.train_segment}
        for key, recipe in ((key, recipe) for key, recipes in named.items() for recipe in recipes):
            if recipe not in self.recipes:
                raise UserError(f"{key}: {recipe} is not a recipe; declared are: {', '.join(self.recipes) or 'none'}.")
        if not self.show:
            raise UserError(f"show names no recipe; declared are: {', '.join(self.recipes) or 'none'}.")
        for stage in SHARED:
            self.config(stage)
        pointed = [recipe for recipe in self.show if self.reads_points(*self.source(recipe))]
        if pointed and self.config("images")["points"] is None:
            raise UserError(
                f"show: {pointed[0]} learns from points: name their file in dataset.points, or leave it out."
            )
        if self.config("images")["kind"] == "folder":
            for recipe in self.show:
                if self.supervision(recipe) not in ("tags", "points"):
                    raise UserError(
                        f"show: {recipe} needs ground truth, which a folder of photos has not; leave it out."
                    )

    def require(self, stage, variant, where):
        if variant not in self.declared(stage):
            raise UserError(
                f"{where}: {stage} has no variant {variant!r}; declared are: {', '.join(self.declared(stage))}."
            )

    def declared(self, stage):
        """Names of the stage's variants; a stage without an entry has one, `default`."""
        return list(self.variants.get(stage) or {"default": {}})

    def entry(self, stage, variant):
        return (self.variants.get(stage) or {"default": {}})[variant]

    def config(self, stage, variant="default"):
        """The stage's whole configuration in this variant as a plain dict, defaults included."""
        section = "dataset" if stage == "images" else stage
        own = (
            {key: value for key, value in self.entry(stage, variant).items() if key != "from"} if stage in READS else {}
        )
        where = f"variants.{stage}.{variant}" if own else section
        return parse(model_of(stage), {**self.sections.get(section, {}), **own}, where=where).model_dump(mode="json")

    def section(self, stage, variant="default", function="run", **more):
        """All that decides what a job makes, as one plain dict with sorted keys: Snakemake compares it as a whole.

        Where one section serves a learning stage's `train` and `run`, its model says which keys only testing reads
        (`Config.ONLY_TEST`: changing them trains nothing) and which `run` reads at all (`Config.TEST`).
        """
        config = self.config(stage, variant)
        model = model_of(stage)
        if hasattr(model, "TEST"):
            kept = config.keys() - model.ONLY_TEST if function == "train" else model.TEST
            config = {key: value for key, value in config.items() if key in kept}
        if stage == "pseudo_labels" and not more.pop("are_proposals"):
            config["box_nms"] = None
        if stage == "report":
            config["recipes"] = more.pop("recipes")
        found = {"stage": stage, "function": function, "config": config, **more}
        found["schemas"] = {name: SCHEMAS[name] for name in ("images", *READS.get(stage, ())) if name != stage}
        if function == "train" or (stage == "images" and config["kind"] == "scenes"):
            found["seed"] = self.seed
        return ordered(found)

    def upstream(self, stage, variant, wanted):
        """The variant of stage `wanted` that (stage, variant) reads, directly or through what it reads."""
        entry = self.entry(stage, variant).get("from") or {}
        if wanted in entry:
            return entry[wanted]
        if wanted in READS[stage]:
            return "default" if "default" in self.declared(wanted) else self.declared(wanted)[0]
        through = [name for name in READS[stage] if wanted in reachable(name)]
        return self.upstream(through[0], self.upstream(stage, variant, through[0]), wanted)

    def outside(self, stage, variant="default"):
        """{key: path} of the files and folders from outside the run that the stage reads in this variant."""
        config = self.config(stage, variant)
        return {key: config[key] for key in OUTSIDE if config.get(key) not in (None, "", "imagenet", "none")}

    def look_outside(self):
        """UserError where a file or folder that a shown recipe needs is not there, before any work is done."""
        used = {pair for recipe in self.show for pair in self.reads(*self.source(recipe))}
        used |= {("refine", "default")} if any(map(self.trains, self.show)) else set()
        used |= {("segment", "default")} if self.train_segment else set()
        for stage, variant in sorted(used):
            for key, path in self.outside(stage, variant).items():
                if not Path(path).exists():
                    raise UserError(f"{stage}.{key} ({variant}): {path} does not exist; name one that does.")

    def reads(self, stage, variant):
        """{(stage, variant)} of this one and of all that it reads, directly or not."""
        near = [self.reads(name, self.upstream(stage, variant, name)) for name in READS[stage]]
        return {(stage, variant)}.union(*near)

    def source(self, recipe):
        """(stage, variant) whose instances become this recipe's pseudo labels."""
        return next(iter(self.recipes[recipe].items()))

    def proposals_of(self, recipe):
        """The variant of `proposals` that the recipe's instances were chosen from, or None."""
        stage, variant = self.source(recipe)
        if stage in ("transfer", "bestie") or (
            stage == "reference" and self.config(stage, variant)["kind"] in ("full", "whole_photo")
        ):
            return None
        return self.upstream(stage, variant, "proposals")

    def instances_are_proposals(self, recipe):
        """Whether NMS is due (LIID, Sec. 5.3): instances of graph_cut and oracle_boxes are whole proposals."""
        stage, variant = self.source(recipe)
        return stage == "graph_cut" or (stage == "reference" and self.config(stage, variant)["kind"] == "oracle_boxes")

    def reads_truth(self, stage, variant):
        """The firewall: of all labelling stages only these variants may see masks or boxes."""
        if stage == "semantic":
            return self.config(stage, variant)["source"] == "truth"
        return stage == "reference" and self.config(stage, variant)["kind"] in ("full", "oracle_boxes")

    def trains(self, recipe):
        """Whether the recipe trains a Mask R-CNN; the two baselines are compared as pseudo labels only."""
        stage, variant = self.source(recipe)
        return (self.train is None or recipe in self.train) and not (
            stage == "reference" and self.config(stage, variant)["kind"] in ("whole_photo", "top_proposal")
        )

    def reads_points(self, stage, variant):
        """Whether points of the dataset stand in for peaks (BESTIE, Sec. 4.3)."""
        if stage == "bestie":
            return self.reads_points("transfer", self.upstream(stage, variant, "transfer"))
        return stage == "transfer" and self.config(stage, variant)["cues"] == "points"

    def semantic_of(self, stage, variant):
        """The variants of `semantic` whose maps (stage, variant) rests on."""
        if stage == "bestie":
            through = self.semantic_of("transfer", self.upstream(stage, variant, "transfer"))
            return {self.upstream(stage, variant, "semantic"), *through}
        return {self.upstream(stage, variant, "semantic")} if stage == "transfer" else set()

    def answers(self, recipe):
        """Whether the recipe has a network of its own that segments instances, next to the Mask R-CNN."""
        return self.source(recipe)[0] == "bestie"

    def learns(self, variant):
        """Whether this variant of `mil` trains a network of its own (LIID's, or Fan's feature extractor)."""
        return self.config("mil", variant)["scores"] != "cam"

    def supervision(self, recipe):
        """What the recipe's labels were made from: "tags", "points", "boxes", "masks" or "semantic masks"."""
        stage, variant = self.source(recipe)
        if stage == "reference":
            return {"full": "masks", "oracle_boxes": "boxes"}.get(self.config(stage, variant)["kind"], "tags")
        points = "points" if self.reads_points(stage, variant) else ""
        if any(self.reads_truth("semantic", one) for one in self.semantic_of(stage, variant)):
            return f"{points}, semantic masks" if points else "semantic masks"
        return points or "tags"

    def extras(self, recipe):
        """What else the labels rest on that was trained or made elsewhere, for the table; usually nothing."""
        stage, variant = self.source(recipe)
        found = []
        proposals = self.proposals_of(recipe)
        if proposals is not None and self.config("proposals", proposals)["source"] != "hierarchy":
            found.append("imported proposals")
        if any(self.config("semantic", one)["source"] == "folder" for one in self.semantic_of(stage, variant)):
            found.append("imported maps")
        if stage == "graph_cut":
            mil = self.config("mil", self.upstream(stage, variant, "mil"))
            if mil["select"] == "salient":
                found.append("salient instances of our own")
            if mil["scores"] == "attention" and mil["epochs"]:
                found.append(f"features trained on {mil['labelled_folder'] or 'single-tag training photos'}")
        return found


def reachable(stage):
    """All stages that `stage` reads, directly or not."""
    return {name for near in READS[stage] for name in (near, *reachable(near))}


def model_of(stage):
    """The pydantic model of a stage's section."""
    return importlib.import_module(f"stages.{stage}.config").Config
