# Reads the dataset, whatever its layout, into two stores: tags and splits (for all), masks and boxes (for few).
TRUTH_OUTPUT = {"truth": TRUTH, "truth_manifest": f"{OUT}/images/default/truth.json"} if HAS_TRUTH else {}


rule images:
    input:
        lists=[path for path in list_files(PLAN.config("images")) if os.path.isfile(path)],
    output:
        index=INDEX,
        manifest=f"{OUT}/images/default/index.json",
        **TRUTH_OUTPUT,
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
