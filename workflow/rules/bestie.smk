# The instance network of BESTIE: one training, then labels of every shard, and answers on the validation photos.
rule bestie_train:
    input:
        unpack(bestie_train_inputs),
        index=ancient(INDEX),
        files=lambda w: local_files("bestie", w.variant),
        manifests=lambda w: manifests(INDEX, *bestie_train_inputs(w).values()),
    output:
        weights=f"{OUT}/bestie/{{variant}}/weights.pt",
        manifest=f"{OUT}/bestie/{{variant}}/weights.json",
        snapshots=f"{OUT}/bestie/{{variant}}/snapshots.zarr.zip",
        snapshots_manifest=f"{OUT}/bestie/{{variant}}/snapshots.json",
    log:
        f"{LOGS}/bestie_train.{{variant}}.log",
    benchmark:
        f"{TIMES}/bestie_train.{{variant}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(8000),
        runtime=2880,
    params:
        cfg=lambda w: section("bestie", w.variant, function="train"),
        code=code_digest("bestie"),
    script:
        SCRIPT


rule bestie:
    input:
        unpack(bestie_inputs),
        index=ancient(INDEX),
        manifests=lambda w: manifests(INDEX, *bestie_inputs(w).values()),
    output:
        instances=f"{OUT}/bestie/{{variant}}/{{shard}}.zarr.zip",
        manifest=f"{OUT}/bestie/{{variant}}/{{shard}}.json",
    log:
        f"{LOGS}/bestie.{{variant}}.{{shard}}.log",
    benchmark:
        f"{TIMES}/bestie.{{variant}}.{{shard}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(4000),
        runtime=120,
    params:
        cfg=lambda w: section("bestie", w.variant, shards=len(SHARDS)),
        code=code_digest("bestie"),
    script:
        SCRIPT


rule bestie_predict:
    input:
        index=ancient(INDEX),
        weights=lambda w: at("bestie", w.variant, "weights.pt"),
        manifests=lambda w: manifests(INDEX, at("bestie", w.variant, "weights.pt")),
    output:
        predictions=f"{OUT}/bestie/{{variant}}/predictions.zarr.zip",
        manifest=f"{OUT}/bestie/{{variant}}/predictions.json",
    log:
        f"{LOGS}/bestie_predict.{{variant}}.log",
    benchmark:
        f"{TIMES}/bestie_predict.{{variant}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(4000),
        runtime=120,
    params:
        cfg=lambda w: section("bestie", w.variant, function="predict"),
        code=code_digest("bestie"),
    script:
        SCRIPT
