# DeepLab on the labels merged by class (LIID, Sec. 6.5), for the recipes in train_segment.
rule segment_train:
    input:
        index=ancient(INDEX),
        labels=lambda w: at("pseudo_labels", w.recipe, "labels.zarr"),
        files=local_files("segment"),
        manifests=lambda w: manifests(INDEX, at("pseudo_labels", w.recipe, "labels.zarr")),
    output:
        weights=f"{OUT}/segment/{{recipe}}/weights.pt",
        manifest=f"{OUT}/segment/{{recipe}}/weights.json",
    log:
        f"{LOGS}/segment_train.{{recipe}}.log",
    benchmark:
        f"{TIMES}/segment_train.{{recipe}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(8000),
        runtime=2880,
    params:
        cfg=section("segment", function="train"),
        code=code_digest("segment"),
    script:
        SCRIPT


rule segment:
    input:
        index=ancient(INDEX),
        weights=lambda w: at("segment", w.recipe, "weights.pt"),
        manifests=lambda w: manifests(INDEX, at("segment", w.recipe, "weights.pt")),
    output:
        predictions=f"{OUT}/segment/{{recipe}}/predictions.zarr.zip",
        manifest=f"{OUT}/segment/{{recipe}}/predictions.json",
    log:
        f"{LOGS}/segment.{{recipe}}.log",
    benchmark:
        f"{TIMES}/segment.{{recipe}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(8000),
        runtime=60,
    params:
        cfg=section("segment"),
        code=code_digest("segment"),
    script:
        SCRIPT
