rule proposals:
    input:
        index=ancient(INDEX),
        files=lambda w: local_files("proposals", w.variant),
        manifests=manifests(INDEX),
    output:
        proposals=f"{OUT}/proposals/{{variant}}/{{shard}}.zarr.zip",
        manifest=f"{OUT}/proposals/{{variant}}/{{shard}}.json",
    log:
        f"{LOGS}/proposals.{{variant}}.{{shard}}.log",
    benchmark:
        f"{TIMES}/proposals.{{variant}}.{{shard}}.tsv"
    conda:
        "../../envs/images.yaml"
    threads: job_threads
    resources:
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(2000),
        runtime=60,
    params:
        cfg=lambda w: section("proposals", w.variant, shards=len(SHARDS)),
        code=code_digest("proposals"),
    script:
        SCRIPT
