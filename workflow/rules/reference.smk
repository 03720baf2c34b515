# Bounds for every table: two from ground truth, two from tags and proposals alone.
rule reference:
    input:
        unpack(reference_inputs),
        index=ancient(INDEX),
        manifests=lambda w: manifests(INDEX, *reference_inputs(w).values()),
    output:
        instances=f"{OUT}/reference/{{variant}}/{{shard}}.zarr.zip",
        manifest=f"{OUT}/reference/{{variant}}/{{shard}}.json",
    log:
        f"{LOGS}/reference.{{variant}}.{{shard}}.log",
    benchmark:
        f"{TIMES}/reference.{{variant}}.{{shard}}.tsv"
    conda:
        "../../envs/images.yaml"
    threads: job_threads
    resources:
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(2000),
        runtime=60,
    params:
        cfg=lambda w: section("reference", w.variant, shards=len(SHARDS)),
        code=code_digest("reference"),
    script:
        SCRIPT
