use rule gpu_job as prm with:
    input:
        **reads(
            "prm",
            weights="classifier/weights.pt",
            peaks="cam/{shard}.peaks.zarr.zip",
        ),
    output:
        prm="<out>/prm/{variant}/{shard}.zarr.zip",
        manifest="<out>/prm/{variant}/{shard}.json",
    pathvars:
        job="prm.{variant}.{shard}",
    params:
        **job("prm"),
