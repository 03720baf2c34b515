# One self-contained page: the table of recipes, pictures, AP per class, time and memory.
# Pictures come from the first shown recipe that has each kind of artifact.
use rule cpu_job as report with:
    input:
        **reads(
            "report",
            more=drawn(),
            truth="images/truth.zarr.zip",
            labels="pseudo_labels/labels.zarr",
            added="refine/added.zarr.zip",
            predictions="refine/predictions.zarr.zip",
            segmentation="segment/predictions.zarr.zip",
            metrics="evaluate/metrics.json",
        ),
    output:
        report=report(
            "<out>/report/report.html",
            caption="../report/report.rst",
            category="tag2mask",
        ),
        table=report(
            "<out>/report/table.md",
            caption="../report/table.rst",
            category="tag2mask",
        ),
    pathvars:
        job="report",
    params:
        **job("report"),
