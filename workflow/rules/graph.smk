rule graph:
    input:
        index=ancient(INDEX),
        mil=lambda w: each("mil", PLAN.upstream("graph", w.variant, "mil")),
        manifests=lambda w: manifests(INDEX, each("mil", PLAN.upstream("graph", w.variant, "mil"))),
    output:
        edges=f"{OUT}/graph/{{variant}}/edges.zarr.zip",
        manifest=f"{OUT}/graph/{{variant}}/edges.json",
    log:
        f"{LOGS}/graph.{{variant}}.log",
    benchmark:
        f"{TIMES}/graph.{{variant}}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=PLAN.gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(8000),
        runtime=60,
    params:
        cfg=lambda w: section("graph", w.variant),
        code=code_digest("graph"),
    script:
        SCRIPT
