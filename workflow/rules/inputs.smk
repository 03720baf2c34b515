# What the rules read: functions from wildcards to inputs, and nothing else.


def local_files(stage, variant="default"):
    """Files from outside the run that a stage reads: weights, proposals made elsewhere. When one changes, it reruns."""
    return [path for path in PLAN.outside(stage, variant).values() if os.path.isfile(path)]


def semantic_inputs(w):
    source = PLAN.config("semantic", w.variant)["source"]
    if source == "cam":
        return {
            "cam": at(
                "cam",
                PLAN.upstream("semantic", w.variant, "cam"),
                f"{w.shard}.cam.zarr.zip",
            )
        }
    return {"truth": ancient(TRUTH)} if source == "truth" else {}


def mil_train_inputs(w):
    """LIID's network learns from proposals and their CAM, Fan's feature extractor from photos and tags alone."""
    if PLAN.config("mil", w.variant)["scores"] != "network":
        return {}
    return {
        "proposals": each("proposals", PLAN.upstream("mil", w.variant, "proposals")),
        "cam": each("cam", PLAN.upstream("mil", w.variant, "cam"), "cam.zarr.zip"),
    }


def mil_inputs(w):
    found = {"weights": at("mil", w.variant, "weights.pt")} if PLAN.learns(w.variant) else {}
    return found | {
        "proposals": at(
            "proposals",
            PLAN.upstream("mil", w.variant, "proposals"),
            f"{w.shard}.zarr.zip",
        ),
        "cam": at("cam", PLAN.upstream("mil", w.variant, "cam"), f"{w.shard}.cam.zarr.zip"),
    }


def graph_cut_inputs(w):
    found = {
        "mil": each("mil", PLAN.upstream("graph_cut", w.variant, "mil")),
        "proposals": each("proposals", PLAN.upstream("graph_cut", w.variant, "proposals")),
    }
    if PLAN.config("graph_cut", w.variant)["solver"] != "argmax":
        found["edges"] = at("graph", PLAN.upstream("graph_cut", w.variant, "graph"), "edges.zarr.zip")
    return found


def transfer_inputs(w):
    semantic = PLAN.upstream("transfer", w.variant, "semantic")
    found = {"semantic": at("semantic", semantic, f"{w.shard}.zarr.zip")}
    if PLAN.reads_points("transfer", w.variant):
        return found | {"points": ancient(POINTS)}
    cam = PLAN.upstream("transfer", w.variant, "cam")
    return found | {"peaks": at("cam", cam, f"{w.shard}.peaks.zarr.zip")}


def bestie_train_inputs(w):
    found = {
        "transfer": each("transfer", PLAN.upstream("bestie", w.variant, "transfer")),
        "semantic": each("semantic", PLAN.upstream("bestie", w.variant, "semantic")),
    }
    if PLAN.reads_points("bestie", w.variant):
        found["points"] = ancient(POINTS)
    return found


def bestie_inputs(w):
    found = {"weights": at("bestie", w.variant, "weights.pt")}
    if PLAN.reads_points("bestie", w.variant):
        found["points"] = ancient(POINTS)
    return found


def reference_inputs(w):
    kind = PLAN.config("reference", w.variant)["kind"]
    found = {"truth": ancient(TRUTH)} if PLAN.reads_truth("reference", w.variant) else {}
    if kind in ("oracle_boxes", "top_proposal"):
        variant = PLAN.upstream("reference", w.variant, "proposals")
        found["proposals"] = at("proposals", variant, f"{w.shard}.zarr.zip")
    return found


def instances_of(recipe):
    stage, variant = PLAN.source(recipe)
    return [at(stage, variant, "labels.zarr.zip")] if stage == "graph_cut" else each(stage, variant)


def evaluate_inputs(w):
    found = {"labels": at("pseudo_labels", w.recipe, "labels.zarr")}
    if PLAN.answers(w.recipe):
        stage, variant = PLAN.source(w.recipe)
        found["network"] = at(stage, variant, "predictions.zarr.zip")
        found["snapshots"] = at(stage, variant, "snapshots.zarr.zip")
    if PLAN.trains(w.recipe):
        found["predictions"] = at("refine", w.recipe, "predictions.zarr.zip")
    if w.recipe in PLAN.train_segment:
        found["segmentation"] = at("segment", w.recipe, "predictions.zarr.zip")
    variant = PLAN.proposals_of(w.recipe)
    if variant is not None:
        found["proposals"] = each("proposals", variant)
    return found


def recipes_table():
    return [
        {
            "name": recipe,
            "stage": PLAN.source(recipe)[0],
            "variant": PLAN.source(recipe)[1],
            "supervision": PLAN.supervision(recipe),
            "extras": PLAN.extras(recipe),
            "trains": PLAN.trains(recipe),
        }
        for recipe in PLAN.show
    ]


def picture_variants():
    """stage -> the variant whose maps the report draws; cam twice: of the semantic maps, and of the peaks."""
    found = {}
    for recipe in PLAN.show:
        stage, variant = PLAN.source(recipe)
        if stage == "bestie":
            stage, variant = (
                "transfer",
                PLAN.upstream("bestie", variant, "transfer"),
            )
        if stage == "transfer":
            semantic = PLAN.upstream("transfer", variant, "semantic")
            found.setdefault("semantic", semantic)
            found.setdefault("pam", PLAN.upstream("transfer", variant, "cam"))
            if PLAN.config("semantic", semantic)["source"] == "cam":
                found.setdefault("cam", PLAN.upstream("semantic", semantic, "cam"))
        if stage == "graph_cut":
            found.setdefault("cam", PLAN.upstream("graph_cut", variant, "cam"))
        if PLAN.proposals_of(recipe) is not None:
            found.setdefault("proposals", PLAN.proposals_of(recipe))
    return found


def report_inputs(w):
    pictures = picture_variants()
    found = {"labels": [at("pseudo_labels", recipe, "labels.zarr") for recipe in PLAN.show]}
    trained = [recipe for recipe in PLAN.show if PLAN.trains(recipe)]
    found["predictions"] = [at("refine", recipe, "predictions.zarr.zip") for recipe in trained]
    if HAS_TRUTH:
        found["truth"] = ancient(TRUTH)
        found["metrics"] = [f"{OUT}/evaluate/{recipe}/metrics.json" for recipe in PLAN.show]
    for name, stage, suffix in (
        ("proposals", "proposals", "zarr.zip"),
        ("semantic", "semantic", "zarr.zip"),
        ("cam", "cam", "cam.zarr.zip"),
        ("pam", "cam", "cam.zarr.zip"),
        ("peaks", "cam", "peaks.zarr.zip"),
    ):
        variant = pictures.get("pam" if name == "peaks" else name)
        if variant is not None:
            found[name] = each(stage, variant, suffix)
    cuts = dict.fromkeys(PLAN.source(recipe)[1] for recipe in PLAN.show if PLAN.source(recipe)[0] == "graph_cut")
    if cuts:
        found["graph_cut"] = [f"{OUT}/graph_cut/{variant}/labels.json" for variant in cuts]
    segmented = [recipe for recipe in PLAN.show if recipe in PLAN.train_segment]
    if segmented:
        found["segmentation"] = [at("segment", recipe, "predictions.zarr.zip") for recipe in segmented]
    return found


def stores_of(inputs):
    """All stores among the inputs, flat: their manifests decide about a rerun."""
    values = [value for name, value in inputs.items() if name not in ("metrics", "graph_cut")]
    return [path for value in values for path in ([value] if isinstance(value, str) else value)]
