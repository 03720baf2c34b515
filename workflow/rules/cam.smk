rule cam:
    input:
        index=ancient(INDEX),
        weights=lambda w: at("classifier", PLAN.upstream("cam", w.variant, "classifier"), "weights.pt"),
        manifests=lambda w: manifests(
            INDEX,
            at(
                "classifier",
                PLAN.upstream("cam", w.variant, "classifier"),
                "weights.pt",
            ),
        ),
    output:
        cam=f"{OUT}/cam/{{variant}}/{{shard}}.cam.zarr.zip",
        peaks=f"{OUT}/cam/{{variant}}/{{shard}}.peaks.zarr.zip",
        manifest=f"{OUT}/cam/{{variant}}/{{shard}}.json",
    log:
        f"{LOGS}/cam.{{variant}}.{{shard}}.log",
    benchmark:
        f"{TIMES}/cam.{{variant}}.{{shard}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(4000),
        runtime=60,
    params:
        cfg=lambda w: section("cam", w.variant, shards=len(SHARDS)),
        code=code_digest("cam"),
    script:
        SCRIPT
