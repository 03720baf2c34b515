# Reads the dataset, whatever its layout, into two stores: tags and splits (for all), masks and boxes (for few).
from stages.images.lists import list_files

TRUTH_OUTPUT = {"truth": TRUTH, "truth_manifest": f"{OUT}/images/default/truth.json"} if HAS_TRUTH else {}

POINTS_OUTPUT = (
    {"points": POINTS, "points_manifest": f"{OUT}/images/default/points.json"}
    if PLAN.config("images")["points"]
    else {}
)


rule images:
    input:
        lists=list_files(PLAN.config("images")),
    output:
        **TRUTH_OUTPUT,
        **POINTS_OUTPUT,
        index=INDEX,
        manifest=f"{OUT}/images/default/index.json",
    log:
        f"{LOGS}/images.log",
    benchmark:
        f"{TIMES}/images.tsv"
    conda:
        "../../envs/images.yaml"
    threads: job_threads
    resources:
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(4000),
        runtime=60,
    params:
        cfg=section("images"),
        code=code_digest("images"),
    script:
        SCRIPT
