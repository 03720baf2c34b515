rule classifier_train:
    input:
        index=ancient(INDEX),
        files=lambda w: local_files("classifier", w.variant),
        manifests=manifests(INDEX),
    output:
        weights=f"{OUT}/classifier/{{variant}}/weights.pt",
        manifest=f"{OUT}/classifier/{{variant}}/weights.json",
    log:
        f"{LOGS}/classifier.{{variant}}.log",
    benchmark:
        f"{TIMES}/classifier.{{variant}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(6000),
        runtime=600,
    params:
        cfg=lambda w: section("classifier", w.variant, function="train"),
        code=code_digest("classifier"),
    script:
        SCRIPT
