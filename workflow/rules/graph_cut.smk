# The labels of all proposals of the dataset at once; without edges (solver argmax) each for itself.
rule graph_cut:
    input:
        unpack(graph_cut_inputs),
        index=ancient(INDEX),
        manifests=lambda w: manifests(INDEX, *graph_cut_inputs(w).values()),
    output:
        instances=f"{OUT}/graph_cut/{{variant}}/labels.zarr.zip",
        labels=f"{OUT}/graph_cut/{{variant}}/labels.nodes.zarr.zip",
        manifest=f"{OUT}/graph_cut/{{variant}}/labels.json",
    log:
        f"{LOGS}/graph_cut.{{variant}}.log",
    benchmark:
        f"{TIMES}/graph_cut.{{variant}}.tsv"
    conda:
        "../../envs/graph.yaml"
    threads: job_threads
    resources:
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(8000),
        runtime=60,
    params:
        cfg=lambda w: section("graph_cut", w.variant),
        code=code_digest("graph_cut"),
    script:
        SCRIPT
