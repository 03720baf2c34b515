rule transfer:
    input:
        unpack(transfer_inputs),
        index=ancient(INDEX),
        manifests=lambda w: manifests(INDEX, *transfer_inputs(w).values()),
    output:
        instances=f"{OUT}/transfer/{{variant}}/{{shard}}.zarr.zip",
        manifest=f"{OUT}/transfer/{{variant}}/{{shard}}.json",
    log:
        f"{LOGS}/transfer.{{variant}}.{{shard}}.log",
    benchmark:
        f"{TIMES}/transfer.{{variant}}.{{shard}}.tsv"
    conda:
        "../../envs/images.yaml"
    threads: job_threads
    resources:
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(2000),
        runtime=60,
    params:
        cfg=lambda w: section("transfer", w.variant, shards=len(SHARDS)),
        code=code_digest("transfer"),
    script:
        SCRIPT
