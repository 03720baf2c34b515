# Of every shard, and, where a network answers with proposals, of the validation photos.
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


use rule cpu_job as proposals_predict with:
    input:
        **reads(
            "proposals_predict",
        ),
    output:
        held_out="<out>/proposals/{variant}/held_out.zarr.zip",
        manifest="<out>/proposals/{variant}/held_out.json",
    pathvars:
        job="proposals_predict.{variant}",
    params:
        **job("proposals_predict"),
