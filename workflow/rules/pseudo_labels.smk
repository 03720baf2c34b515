# From here on all recipes share the road.
rule pseudo_labels:
    input:
        index=ancient(INDEX),
        instances=lambda w: instances_of(w.recipe),
        manifests=lambda w: manifests(INDEX, instances_of(w.recipe)),
    output:
        labels=directory(f"{OUT}/pseudo_labels/{{recipe}}/labels.zarr"),
        coco=f"{OUT}/pseudo_labels/{{recipe}}/labels.coco.json",
        manifest=f"{OUT}/pseudo_labels/{{recipe}}/labels.json",
    log:
        f"{LOGS}/pseudo_labels.{{recipe}}.log",
    benchmark:
        f"{TIMES}/pseudo_labels.{{recipe}}.tsv"
    conda:
        "../../envs/images.yaml"
    threads: job_threads
    resources:
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(4000),
        runtime=60,
    params:
        cfg=lambda w: section("pseudo_labels", are_proposals=PLAN.instances_are_proposals(w.recipe)),
        code=code_digest("pseudo_labels"),
    script:
        SCRIPT
