rule refine_train:
    input:
        index=ancient(INDEX),
        labels=lambda w: at("pseudo_labels", w.recipe, "labels.zarr"),
        files=local_files("refine"),
        manifests=lambda w: manifests(INDEX, at("pseudo_labels", w.recipe, "labels.zarr")),
    output:
        weights=f"{OUT}/refine/{{recipe}}/weights.pt",
        manifest=f"{OUT}/refine/{{recipe}}/weights.json",
    log:
        f"{LOGS}/refine_train.{{recipe}}.log",
    benchmark:
        f"{TIMES}/refine_train.{{recipe}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(8000),
        runtime=2880,
    params:
        cfg=section("refine", function="train"),
        code=code_digest("refine"),
    script:
        SCRIPT


rule refine:
    input:
        index=ancient(INDEX),
        weights=lambda w: at("refine", w.recipe, "weights.pt"),
        manifests=lambda w: manifests(INDEX, at("refine", w.recipe, "weights.pt")),
    output:
        predictions=f"{OUT}/refine/{{recipe}}/predictions.zarr.zip",
        manifest=f"{OUT}/refine/{{recipe}}/predictions.json",
    log:
        f"{LOGS}/refine.{{recipe}}.log",
    benchmark:
        f"{TIMES}/refine.{{recipe}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(8000),
        runtime=60,
    params:
        cfg=section("refine"),
        code=code_digest("refine"),
    script:
        SCRIPT
