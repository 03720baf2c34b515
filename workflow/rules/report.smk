# One self-contained page: the table of recipes, pictures, AP per class, components, time and memory.
# Pictures come from the first shown recipe that has each kind of artifact.
rule report:
    input:
        unpack(report_inputs),
        index=ancient(INDEX),
        manifests=lambda w: manifests(INDEX, *stores_of(report_inputs(w))),
    output:
        report=report(
            f"{OUT}/report/report.html",
            caption="../report/report.rst",
            category="tag2mask",
        ),
        table=report(
            f"{OUT}/report/table.md",
            caption="../report/table.rst",
            category="tag2mask",
        ),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{TIMES}/report.tsv"
    conda:
        "../../envs/images.yaml"
    threads: job_threads
    resources:
        torch_threads=PLAN.threads,
        mem_mb=mem_mb(4000),
        runtime=30,
    params:
        cfg=section("report", recipes=recipes_table()),
        code=code_digest("report"),
    script:
        SCRIPT
