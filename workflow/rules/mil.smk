# A variant with `scores: cam` trains nothing; p and f come from the CAMs and the ImageNet backbone.
use rule gpu_job as mil_train with:
    input:
        **reads(
            "mil_train",
            proposals="proposals/{shard}.zarr.zip",
            cam="cam/{shard}.cam.zarr.zip",
        ),
    output:
        weights="<out>/mil/{variant}/weights.pt",
        manifest="<out>/mil/{variant}/weights.json",
    pathvars:
        job="mil_train.{variant}",
    params:
        **job("mil_train"),


use rule gpu_job as mil with:
    input:
        **reads(
            "mil",
            weights="mil/weights.pt",
            proposals="proposals/{shard}.zarr.zip",
            salient="saliency/{shard}.salient.zarr.zip",
            cam="cam/{shard}.cam.zarr.zip",
        ),
    output:
        mil="<out>/mil/{variant}/{shard}.zarr.zip",
        manifest="<out>/mil/{variant}/{shard}.json",
    pathvars:
        job="mil.{variant}.{shard}",
    params:
        **job("mil"),
