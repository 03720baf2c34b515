# Reads CAMs, or imported maps, or (the upper bound alone) the ground truth.
rule semantic:
    input:
        unpack(semantic_inputs),
        index=ancient(INDEX),
        manifests=lambda w: manifests(INDEX, *semantic_inputs(w).values()),
    output:
        semantic=f"{OUT}/semantic/{{variant}}/{{shard}}.zarr.zip",
        manifest=f"{OUT}/semantic/{{variant}}/{{shard}}.json",
    log:
        f"{LOGS}/semantic.{{variant}}.{{shard}}.log",
    benchmark:
        f"{TIMES}/semantic.{{variant}}.{{shard}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: job_threads
    resources:
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(4000),
        runtime=60,
    params:
        cfg=lambda w: section("semantic", w.variant, shards=len(SHARDS)),
        code=code_digest("semantic"),
    script:
        SCRIPT
