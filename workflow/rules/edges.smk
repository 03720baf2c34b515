# Of every shard, and, where something that answers held-out photos reads it, of the validation photos.
use rule gpu_job as edges with:
    input:
        **reads(
            "edges",
        ),
    output:
        edges="<out>/edges/{variant}/{shard}.zarr.zip",
        manifest="<out>/edges/{variant}/{shard}.json",
    pathvars:
        job="edges.{variant}.{shard}",
    params:
        **job("edges"),


use rule gpu_job as edges_predict with:
    input:
        **reads(
            "edges_predict",
        ),
    output:
        held_out="<out>/edges/{variant}/held_out.zarr.zip",
        manifest="<out>/edges/{variant}/held_out.json",
    pathvars:
        job="edges_predict.{variant}",
    params:
        **job("edges_predict"),
