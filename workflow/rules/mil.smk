# A variant with `scores: cam` trains nothing; p and f come from the CAMs and the ImageNet backbone.
rule mil_train:
    input:
        unpack(mil_train_inputs),
        index=ancient(INDEX),
        files=lambda w: local_files("mil", w.variant),
        manifests=lambda w: manifests(INDEX, *mil_train_inputs(w).values()),
    output:
        weights=f"{OUT}/mil/{{variant}}/weights.pt",
        manifest=f"{OUT}/mil/{{variant}}/weights.json",
    log:
        f"{LOGS}/mil_train.{{variant}}.log",
    benchmark:
        f"{TIMES}/mil_train.{{variant}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(8000),
        runtime=1440,
    params:
        cfg=lambda w: section("mil", w.variant, function="train"),
        code=code_digest("mil"),
    script:
        SCRIPT


rule mil:
    input:
        unpack(mil_inputs),
        index=ancient(INDEX),
        files=lambda w: local_files("mil", w.variant),
        manifests=lambda w: manifests(INDEX, *mil_inputs(w).values()),
    output:
        mil=f"{OUT}/mil/{{variant}}/{{shard}}.zarr.zip",
        manifest=f"{OUT}/mil/{{variant}}/{{shard}}.json",
    log:
        f"{LOGS}/mil.{{variant}}.{{shard}}.log",
    benchmark:
        f"{TIMES}/mil.{{variant}}.{{shard}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(4000),
        runtime=60,
    params:
        cfg=lambda w: section("mil", w.variant, shards=len(SHARDS)),
        code=code_digest("mil"),
    script:
        SCRIPT
