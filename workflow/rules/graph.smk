use rule gpu_job as graph with:
    input:
        **reads(
            "graph",
            mil="mil/{shard}.zarr.zip",
        ),
    output:
        edges="<out>/graph/{variant}/edges.zarr.zip",
        manifest="<out>/graph/{variant}/edges.json",
    pathvars:
        job="graph.{variant}",
    params:
        **job("graph"),
