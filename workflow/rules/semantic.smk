# Reads CAMs (one variant saliency too), or imported maps, or (the upper bound alone) the ground truth.
use rule cpu_job as semantic with:
    input:
        **reads(
            "semantic",
            cam="cam/{shard}.cam.zarr.zip",
            saliency="saliency/{shard}.zarr.zip",
            truth="images/truth.zarr.zip",
        ),
    output:
        semantic="<out>/semantic/{variant}/{shard}.zarr.zip",
        manifest="<out>/semantic/{variant}/{shard}.json",
    pathvars:
        job="semantic.{variant}.{shard}",
    conda:
        "../../envs/learn.yaml"
    params:
        **job("semantic"),
