# Of every shard, and, where something that answers held-out photos reads it, of the validation photos.
use rule cpu_job as saliency with:
    input:
        **reads(
            "saliency",
        ),
    output:
        saliency="<out>/saliency/{variant}/{shard}.zarr.zip",
        salient="<out>/saliency/{variant}/{shard}.salient.zarr.zip",
        manifest="<out>/saliency/{variant}/{shard}.json",
    pathvars:
        job="saliency.{variant}.{shard}",
    params:
        **job("saliency"),


use rule cpu_job as saliency_predict with:
    input:
        **reads(
            "saliency_predict",
        ),
    output:
        held_out="<out>/saliency/{variant}/held_out.zarr.zip",
        held_out_salient="<out>/saliency/{variant}/held_out.salient.zarr.zip",
        manifest="<out>/saliency/{variant}/held_out.json",
    pathvars:
        job="saliency_predict.{variant}",
    params:
        **job("saliency_predict"),
