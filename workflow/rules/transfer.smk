use rule cpu_job as transfer with:
    input:
        **reads(
            "transfer",
            peaks="cam/{shard}.peaks.zarr.zip",
            points="images/points.zarr.zip",
            semantic="semantic/{shard}.zarr.zip",
        ),
    output:
        instances="<out>/transfer/{variant}/{shard}.zarr.zip",
        manifest="<out>/transfer/{variant}/{shard}.json",
    pathvars:
        job="transfer.{variant}.{shard}",
    params:
        **job("transfer"),
