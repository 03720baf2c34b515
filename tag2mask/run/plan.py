"""The whole configuration as one typed object: sections, variants and recipes, and what each job needs of them."""

import importlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr

from tag2mask.errors import UserError
from tag2mask.run import recipes
from tag2mask.run.config import Learning, Section, mapping, ordered, parse, strings
from tag2mask.run.registry import Read, dataset, stages
from tag2mask.store import hub

OUTSIDE = ("weights", "path", "labelled_folder", "corrections")  # keys that name files and folders from outside the run
NAME = r"^[A-Za-z0-9_-]+$"


class Plan(Section):
    """The top level of the configuration; the sections of the stages are checked by the stages' own models."""

    run: str = Field("demo", pattern=NAME, description="name of the results folder below results/")
    seed: int = Field(0, ge=0, description="seed of scenes, training order and initial weights")
    threads: int = Field(1, ge=1, description="torch threads a job; part of what makes a CPU run repeatable")
    gpus: int = Field(
        1,
        ge=0,
        description="devices that a training leases where the machine has any, with a process on each; inference "
        "takes one a shard; 0 never leases",
    )
    variants: dict[str, dict[str, dict]] = Field({}, description="stage -> variant -> its keys and `from`")
    recipes: dict[str, dict[str, str | dict]] = Field(
        {},
        description="recipe -> {stage: variant} whose instances it takes; beside it keys of its own of what "
        "all recipes share, as {transfer: default, refine: {rounds: 2}}",
    )
    show: list[str] = Field([], description="the recipes to build and compare, in the table's order")
    train: list[str] | None = Field(
        None, description="shown recipes that train a Mask R-CNN; null: all but the two baselines, []: none"
    )
    train_segment: list[str] = Field(
        [], description="shown recipes that train a DeepLab on their labels merged by class (stage segment)"
    )
    sections: dict[str, dict] = Field({}, description="stage -> keys, merged under every variant's own")

    _configs: dict = PrivateAttr(default_factory=dict)  # (stage, variant, recipe) -> what `config` found
    TOP: ClassVar[tuple[str, ...]] = (
        "run", "seed", "threads", "gpus", "variants", "recipes", "show", "train", "train_segment",
    )  # fmt: skip

    @classmethod
    def load(cls, config: dict) -> "Plan":
        """The Plan of a raw configuration dict (as Snakemake hands it over), every section and name checked."""
        known = [stage.section or word for word, stage in stages().items()]
        for key in config:
            if key not in (*cls.TOP, *known):
                hint = " (nested keys are set as --config 'dataset={root: /photos}')" if "." in key else ""
                raise UserError(f"{key} is not a known key{hint}; allowed here: {', '.join((*cls.TOP, *known))}.")
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
        values["sections"] = {section: mapping(config.get(section), section) for section in known}
        plan = parse(cls, values, where="")
        recipes.check(plan)
        return plan

    @cached_property
    def photos(self) -> int | None:
        """Training photos by the dataset's own list, or None where it cannot be read."""
        count = dataset().count
        return count(self.config(dataset().word)) if count else None

    def declared(self, stage: str) -> list[str]:
        """Names of the stage's variants; a stage without an entry has one, `default`."""
        return list(self.variants.get(stage) or {"default": {}})

    def entry(self, stage: str, variant: str) -> dict:
        """What the configuration says of a variant."""
        return (self.variants.get(stage) or {"default": {}}).get(variant, {})

    def config(self, stage: str, variant: str = "default", recipe: str | None = None) -> dict:
        """The stage's whole configuration in this variant as a plain dict, defaults included.

        recipe : whose keys of a shared stage are meant, where it has any.
        """
        if (stage, variant, recipe) in self._configs:
            return self._configs[stage, variant, recipe]
        section = stages()[stage].section or stage
        own = {key: value for key, value in self.entry(stage, variant).items() if key != "from"}
        where = f"variants.{stage}.{variant}" if own else section
        if recipe and (keys := self.own_keys(recipe).get(stage)):
            own, where = keys, f"recipes.{recipe}.{stage}"
        given = parse(model_of(stage), {**self.sections.get(section, {}), **own}, where=where).model_dump(mode="json")
        found = stages()[stage].settle(given)
        self._configs[stage, variant, recipe] = found
        return found

    def own_keys(self, recipe: str) -> dict[str, dict]:
        """Shared stage -> the keys that this recipe sets for itself."""
        return {stage: keys for stage, keys in self.recipes[recipe].items() if isinstance(keys, dict)}

    def view(self, stage: str, variant: str = "default", recipe: str | None = None) -> "View":
        """One variant of a stage, or a shared stage for a recipe, as the stages' declarations look at it."""
        return View(self, stage, variant, recipe)

    def section(
        self, stage: str, variant: str = "default", function: str = "run", *, recipe: str | None = None, **more: Any
    ) -> dict:
        """All that decides what a job makes, as one plain dict with sorted keys: Snakemake compares it as a whole.

        Where one section serves a learning stage's `train` and `run`, its model says which keys training reads
        (`Config.taught_by`: changing others trains nothing) and which `run` reads at all (`Config.TEST`); a further
        function has its own set (`Config.TARGETS` of `targets`), or that of `run`.
        """
        config, model, job = self.config(stage, variant, recipe), model_of(stage), stages()[stage].jobs[function]
        if issubclass(model, Learning) and hasattr(model, "TEST"):
            own = getattr(model, function.upper(), model.TEST)
            kept = model.taught_by(config) if function == "train" else own
            config = {key: value for key, value in config.items() if key in kept}
        config = stages()[stage].fill(config, self.view(stage, variant), recipe)
        if hub.named(config.get("weights")):
            config = {**config, "weights": self.hub_weights(stage, variant)}
        found = {"stage": stage, "function": function, "config": config, **more}
        reads = self.reads(stage, variant, function, recipe).values()
        found["schemas"] = {read.what: stages()[read.stage].writes(read.artifact).schema for read in reads}
        if job.seeded(self.view(stage, variant, recipe)):
            found["seed"] = self.seed
        return ordered(found)

    def upstream(self, stage: str, variant: str, wanted: str) -> str:
        """The variant of stage `wanted` that (stage, variant) reads, directly or through what it reads.

        Where it does not name one, that of the first variant it names which does: a cut of salient instances takes
        those that `mil` scored.
        """
        entry = self.entry(stage, variant).get("from") or {}
        if wanted in entry:
            return entry[wanted]
        for near, name in entry.items():
            if wanted in (self.entry(near, name).get("from") or {}):
                return self.upstream(near, name, wanted)
        if wanted in stages()[stage].upstream:
            return "default" if "default" in self.declared(wanted) else self.declared(wanted)[0]
        through = next(word for word in stages()[stage].upstream if wanted in reachable(word))
        return self.upstream(through, self.upstream(stage, variant, through), wanted)

    def reads(
        self, stage: str, variant: str = "default", function: str | None = None, recipe: str | None = None
    ) -> dict[str, Read]:
        """Input -> Read of this variant, without what falls away; of one function, or of all."""
        view = self.view(stage, variant, recipe)
        jobs = [job for name, job in stages()[stage].jobs.items() if function in (None, name)]
        return {name: read for job in jobs for name, read in job.reads.items() if read.when(view)}

    def closure(self, stage: str, variant: str) -> list[tuple[str, str]]:
        """(stage, variant) of all that it reads, directly or not, and itself, in the order of the work."""
        found = {(stage, variant)}
        for word in {read.stage for read in self.reads(stage, variant).values()} - {stage, dataset().word}:
            found |= set(self.closure(word, self.upstream(stage, variant, word)))
        order = list(stages())
        return sorted(found, key=lambda pair: (order.index(pair[0]), pair[1]))

    def outside(self, stage: str, variant: str = "default", recipe: str | None = None) -> dict[str, str]:
        """{key: path} of the files and folders from outside the run that the stage reads in this variant or recipe."""
        config = self.config(stage, variant)
        config = config if recipe is None else stages()[stage].fill(config, self.view(stage, variant), recipe)
        given = {key: config.get(key) for key in OUTSIDE}
        no_file = (None, "", "imagenet", "none")
        return {key: path for key, path in given.items() if path not in no_file and not hub.named(path)}

    def hub_weights(self, stage: str, variant: str) -> str:
        """Its `weights` of the Hub with name and revision; UserError where they cannot be had."""
        config = self.config(stage, variant)
        try:
            return hub.pinned(config["weights"], config["backbone"])
        except UserError as error:
            raise UserError(f"{stage}.weights ({variant}): {error}") from None

    def look_outside(self) -> None:
        """UserError where a file, a folder, a package or the Hub's weights that a shown recipe needs are not to be had,
        before any work is done."""
        used = {pair for recipe in self.show for pair in self.closure(*self.source(recipe))}
        shared = [word for word, stage in stages().items() if stage.shared]
        used |= {(word, "default") for word in shared if any(self.runs(word))}
        for stage, variant in sorted(used):
            if lacks := stages()[stage].lacks(self.view(stage, variant)):
                raise UserError(lacks)
            for key, path in self.outside(stage, variant).items():
                if not Path(path).exists():
                    raise UserError(f"{stage}.{key} ({variant}): {path} does not exist; name one that does.")
            if hub.named(self.config(stage, variant).get("weights")):
                self.hub_weights(stage, variant)

    def writes(self, artifact: str) -> bool:
        """Whether the dataset gives this artifact: "truth", "points"."""
        return dataset().writes(artifact).when(self.view(dataset().word))

    def source(self, recipe: str) -> tuple[str, str]:
        """(stage, variant) whose instances become this recipe's pseudo labels."""
        return next((stage, variant) for stage, variant in self.recipes[recipe].items() if isinstance(variant, str))

    def runs(self, stage: str) -> list[str]:
        """The shown recipes that run a shared stage."""
        return [recipe for recipe in self.show if stages()[stage].runs_for(self, recipe)]


@dataclass(frozen=True)
class View:
    """One variant of a stage, or a shared stage for a recipe: its configuration, and the variants that it reads."""

    plan: Plan
    stage: str
    variant: str
    recipe: str | None = None

    @property
    def config(self) -> dict:
        """Its whole configuration, defaults included."""
        return self.plan.config(self.stage, self.variant, self.recipe)

    def names(self, stage: str) -> bool:
        """Whether its own `from` names a variant of this stage."""
        return stage in (self.plan.entry(self.stage, self.variant).get("from") or {})

    def of(self, stage: str) -> "View":
        """The variant of another stage that it reads, directly or not; of a shared stage, what its labels rest on."""
        reader = self.plan.source(self.recipe) if self.recipe else (self.stage, self.variant)
        return self.plan.view(stage, self.plan.upstream(*reader, stage))


def reachable(stage: str) -> set[str]:
    """All stages that `stage` may read, directly or not."""
    return {name for near in stages()[stage].upstream for name in (near, *reachable(near))}


def model_of(stage: str) -> type[Section]:
    """The pydantic model of a stage's section."""
    return importlib.import_module(f"stages.{stage}.config").Config
