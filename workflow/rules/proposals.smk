use rule cpu_job as proposals with:
    input:
        **reads(
            "proposals",
        ),
    output:
        proposals="<out>/proposals/{variant}/{shard}.zarr.zip",
        manifest="<out>/proposals/{variant}/{shard}.json",
    pathvars:
        job="proposals.{variant}.{shard}",
    params:
        **job("proposals"),
