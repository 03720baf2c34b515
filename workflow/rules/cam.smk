use rule gpu_job as cam with:
    input:
        **reads(
            "cam",
            weights="classifier/weights.pt",
        ),
    output:
        cam="<out>/cam/{variant}/{shard}.cam.zarr.zip",
        peaks="<out>/cam/{variant}/{shard}.peaks.zarr.zip",
        manifest="<out>/cam/{variant}/{shard}.json",
    pathvars:
        job="cam.{variant}.{shard}",
    params:
        **job("cam"),
