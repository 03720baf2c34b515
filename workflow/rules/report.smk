# One self-contained page: the table of recipes, pictures, AP per class, components, time and memory.
# Pictures come from the first shown recipe that has each kind of artifact.
def recipes_table():
    return [
        {
            "name": recipe,
            "stage": PLAN.source(recipe)[0],
            "variant": PLAN.source(recipe)[1],
            "supervision": PLAN.supervision(recipe),
            "trains": PLAN.trains(recipe),
        }
        for recipe in PLAN.show
    ]


def picture_variants():
    """stage -> the variant whose maps the report draws; cam twice: of the semantic maps, and of the peaks."""
    found = {}
    for recipe in PLAN.show:
        stage, variant = PLAN.source(recipe)
        if stage == "transfer":
            semantic = PLAN.upstream("transfer", variant, "semantic")
            found.setdefault("semantic", semantic)
            found.setdefault("pam", PLAN.upstream("transfer", variant, "cam"))
            if PLAN.config("semantic", semantic)["source"] == "cam":
                found.setdefault("cam", PLAN.upstream("semantic", semantic, "cam"))
        if stage == "graph_cut":
            found.setdefault("cam", PLAN.upstream("graph_cut", variant, "cam"))
            found.setdefault("graph_cut", variant)
        if PLAN.proposals_of(recipe) is not None:
            found.setdefault("proposals", PLAN.proposals_of(recipe))
    return found


def report_inputs(w):
    pictures = picture_variants()
    found = {
        "labels": [at("pseudo_labels", recipe, "labels.zarr") for recipe in PLAN.show]
    }
    trained = [recipe for recipe in PLAN.show if PLAN.trains(recipe)]
    found["predictions"] = [
        at("refine", recipe, "predictions.zarr.zip") for recipe in trained
    ]
    if HAS_TRUTH:
        found["truth"] = ancient(TRUTH)
        found["metrics"] = [
            f"{OUT}/evaluate/{recipe}/metrics.json" for recipe in PLAN.show
        ]
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
    if "graph_cut" in pictures:
        found["graph_cut"] = [f"{OUT}/graph_cut/{pictures['graph_cut']}/labels.json"]
    return found


def stores_of(inputs):
    """All stores among the inputs, flat: their manifests decide about a rerun."""
    values = [
        value for name, value in inputs.items() if name not in ("metrics", "graph_cut")
    ]
    return [
        path
        for value in values
        for path in ([value] if isinstance(value, str) else value)
    ]


rule report:
    input:
        unpack(report_inputs),
        index=ancient(INDEX),
        manifests=lambda w: manifests(INDEX, *stores_of(report_inputs(w))),
    output:
        report=report(
            f"{OUT}/report/report.html",
            caption="../report/report.rst",
            category="tag2mask",
        ),
        table=report(
            f"{OUT}/report/table.md",
            caption="../report/table.rst",
            category="tag2mask",
        ),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{TIMES}/report.tsv"
    conda:
        "../../envs/images.yaml"
    threads: job_threads
    resources:
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(4000),
        runtime=30,
    params:
        cfg=section("report", recipes=recipes_table()),
        code=code_digest("report"),
    script:
        SCRIPT
