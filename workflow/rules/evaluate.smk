# Pseudo labels on the training photos with masks, predictions on the validation split.
rule evaluate:
    input:
        unpack(evaluate_inputs),
        index=ancient(INDEX),
        truth=ancient(TRUTH),
        manifests=lambda w: manifests(INDEX, TRUTH, *evaluate_inputs(w).values()),
    output:
        metrics=f"{OUT}/evaluate/{{recipe}}/metrics.json",
    log:
        f"{LOGS}/evaluate.{{recipe}}.log",
    benchmark:
        f"{TIMES}/evaluate.{{recipe}}.tsv"
    conda:
        "../../envs/images.yaml"
    threads: job_threads
    resources:
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(4000),
        runtime=60,
    params:
        cfg=section("evaluate"),
        code=code_digest("evaluate"),
    script:
        SCRIPT
