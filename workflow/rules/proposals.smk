# Of every shard, and, where a network answers with proposals, of the validation photos.
use rule cpu_job as proposals with:
    input:
        **reads(
            "proposals",
            edges="edges/{shard}.zarr.zip",
            salient="saliency/{shard}.salient.zarr.zip",
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
            held_out_edges="edges/held_out.zarr.zip",
            held_out_salient="saliency/held_out.salient.zarr.zip",
        ),
    output:
        held_out="<out>/proposals/{variant}/held_out.zarr.zip",
        manifest="<out>/proposals/{variant}/held_out.json",
    pathvars:
        job="proposals_predict.{variant}",
    params:
        **job("proposals_predict"),
