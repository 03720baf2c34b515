"""What a recipe is: checked names, and what the table says of it. Functions of a Plan and a recipe's name."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tag2mask.errors import UserError
from tag2mask.run.config import mapping
from tag2mask.run.registry import Picture, dataset, stages
from tag2mask.store import hub

if TYPE_CHECKING:
    from tag2mask.run.plan import Plan


def check(plan: "Plan") -> None:
    """UserError unless every name that is used is declared, every section fits its stage's model, and the dataset has
    what the shown recipes need."""
    with_variants = [word for word, stage in stages().items() if not stage.shared and word != dataset().word]
    labelling = [word for word in with_variants if stages()[word].labels]
    for word, entries in plan.variants.items():
        if word not in with_variants:
            raise UserError(f"variants.{word} is not a stage with variants; allowed: {', '.join(with_variants)}.")
        for variant, entry in entries.items():
            plan.config(word, variant)
            upstream = [one for one in stages()[word].upstream if one != dataset().word]
            for wanted, name in mapping(entry.get("from"), f"variants.{word}.{variant}.from").items():
                if wanted not in upstream:
                    known = ", ".join(upstream) or "nothing"
                    raise UserError(f"variants.{word}.{variant}.from.{wanted}: {word} reads {known}.")
                require(plan, wanted, name, f"variants.{word}.{variant}.from")
    for recipe, entry in plan.recipes.items():
        sources = [word for word, variant in entry.items() if isinstance(variant, str)]
        if len(sources) != 1 or sources[0] not in labelling:
            raise UserError(
                f"recipes.{recipe} names one of {', '.join(labelling)} and its variant, as {{transfer: default}}."
            )
        require(plan, *plan.source(recipe), f"recipes.{recipe}")
        check_own_keys(plan, recipe)
    named = {"show": plan.show, "train": plan.train or [], "train_segment": plan.train_segment}
    for key, recipe in ((key, recipe) for key, recipes in named.items() for recipe in recipes):
        if recipe not in plan.recipes:
            raise UserError(f"{key}: {recipe} is not a recipe; declared are: {', '.join(plan.recipes) or 'none'}.")
    if not plan.show:
        raise UserError(f"show names no recipe; declared are: {', '.join(plan.recipes) or 'none'}.")
    for word, stage in stages().items():
        if stage.shared or word == dataset().word:
            plan.config(word)
    for recipe in plan.show:
        for pair in plan.closure(*plan.source(recipe)):
            for read in plan.reads(*pair).values():
                if read.stage == dataset().word and not plan.writes(read.artifact):
                    raise UserError(f"show: {recipe} {dataset().writes(read.artifact).missing}")
        check_reads(plan, recipe)


def check_own_keys(plan: "Plan", recipe: str) -> None:
    """UserError unless the keys that a recipe sets for itself are those that it may set, and fit."""
    for word, keys in plan.own_keys(recipe).items():
        own = {word: stage.of_recipe for word, stage in stages().items() if stage.of_recipe}
        if word not in own:
            raise UserError(f"recipes.{recipe}.{word}: a recipe has no keys of it; of its own it has {', '.join(own)}.")
        for key in keys:
            if key not in own[word]:
                raise UserError(
                    f"recipes.{recipe}.{word}.{key} would make rows that do not compare; set it for all recipes, as "
                    f"{word}.{key}. A recipe's own are: {', '.join(own[word])}."
                )
        plan.config(word, recipe=recipe)


def check_reads(plan: "Plan", recipe: str) -> None:
    """UserError where a shared stage would read what the recipe's labels are not made from."""
    made = {word for word, _ in plan.closure(*plan.source(recipe))}
    for word, stage in stages().items():
        if stage.shared and stage.runs_for(plan, recipe):
            for name, read in plan.reads(word, recipe=recipe).items():
                if not stages()[read.stage].shared and read.stage not in {*made, dataset().word}:
                    raise UserError(
                        f"show: by its keys {word} reads {name} maps, and the labels of {recipe} are made without any; "
                        f"set these keys in the recipes that have them (recipes.<name>.{word}), or show another recipe."
                    )


def require(plan: "Plan", stage: str, variant: str, where: str) -> None:
    """UserError unless the variant is declared. where : its place in the configuration."""
    if variant not in plan.declared(stage):
        known = ", ".join(plan.declared(stage))
        raise UserError(f"{where}: {stage} has no variant {variant!r}; declared are: {known}.")


def kind(plan: "Plan", recipe: str) -> str:
    """What it is in the table: "method", "full" (the true masks), "bound" or "baseline"."""
    return stages()[plan.source(recipe)[0]].kind(plan.view(*plan.source(recipe)))


def trains(plan: "Plan", recipe: str) -> bool:
    """Whether the recipe trains a Mask R-CNN; baselines are compared as pseudo labels only."""
    return (plan.train is None or recipe in plan.train) and kind(plan, recipe) != "baseline"


def whole_proposals(plan: "Plan", recipe: str) -> bool:
    """Whether its instances are whole proposals, so that NMS is due (LIID, Sec. 5.3)."""
    stage, variant = plan.source(recipe)
    return stages()[stage].whole_proposals(plan.view(stage, variant))


def supervision(plan: "Plan", recipe: str) -> str:
    """What the recipe's labels were made from: "tags", or what is more: points, boxes, masks, corrected.

    What the shared road adds, it adds to methods, not to references.
    """
    pairs = plan.closure(*plan.source(recipe))
    if kind(plan, recipe) == "method":
        pairs += [(word, "default") for word, stage in stages().items() if stage.shared]
    found = {stages()[stage].supervision(plan.view(stage, variant)) for stage, variant in pairs}
    return ", ".join(sorted(found - {""})) or "tags"


def extras(plan: "Plan", recipe: str) -> list[str]:
    """What else the labels rest on that was trained or made elsewhere, for the table; usually nothing."""
    pairs = plan.closure(*plan.source(recipe))
    made = [one for stage, variant in pairs for one in stages()[stage].extras(plan.view(stage, variant))]
    weights = dict.fromkeys(hub.title(plan.config(stage, variant)) for stage, variant in pairs)
    return made + [f"weights {name}" for name in weights if name]


def own_keys(plan: "Plan", recipe: str) -> list[str]:
    """What the recipe sets otherwise than the others on the road that they share, for the table; usually nothing."""
    return [f"{word}.{key} {value}" for word, keys in plan.own_keys(recipe).items() for key, value in keys.items()]


def table(plan: "Plan") -> list[dict]:
    """What the report is told of every shown recipe."""
    return [
        {
            "name": recipe, "stage": plan.source(recipe)[0], "variant": plan.source(recipe)[1],
            "supervision": supervision(plan, recipe), "kind": kind(plan, recipe), "extras": extras(plan, recipe),
            "trains": trains(plan, recipe), "own_keys": own_keys(plan, recipe),
        }
        for recipe in plan.show
    ]  # fmt: skip


def measured(plan: "Plan", recipe: str) -> dict[str, tuple[str, str, str]]:
    """Part of the metrics -> (stage, variant, output): what `evaluate` measures of a recipe besides its labels.

    Of the stages that give labels its own alone: what the network of another one answers is not this recipe's.
    """
    source = plan.source(recipe)
    return {
        part: (stage, variant, output)
        for stage, variant in plan.closure(*source)
        if (stage, variant) == source or not stages()[stage].labels
        for part, output in stages()[stage].measured.items()
    }


def pictures(plan: "Plan") -> list[tuple[Picture, str, str]]:
    """(Picture, stage, variant) of what the report draws, of each output the first that a shown recipe reads."""
    found: dict[tuple[str, str], tuple[Picture, str, str]] = {}
    for pair in (pair for recipe in plan.show for pair in reversed(plan.closure(*plan.source(recipe)))):
        for read in plan.reads(*pair).values():
            picture = stages()[read.stage].pictures.get(read.artifact)
            if picture is not None and (read.stage, read.artifact) not in found:
                found[read.stage, read.artifact] = picture, read.stage, plan.upstream(*pair, read.stage)
    order = [(word, output) for word, stage in stages().items() for output in stage.pictures]
    return [found[key] for key in order if key in found]


def panels(plan: "Plan") -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """(module of a panel of the report, [(stage, variant, output)] of the shown recipes whose labels it tells of)."""
    for word, stage in stages().items():
        pairs = [plan.source(recipe) for recipe in plan.show]
        variants = dict.fromkeys(variant for source, variant in pairs if source == word)
        if stage.panel and variants:
            yield stage.panel, [(word, variant, stage.labels) for variant in variants]
