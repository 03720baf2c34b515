# Bounds for every table: two from ground truth, two from tags and proposals alone.
use rule cpu_job as reference with:
    input:
        **reads(
            "reference",
            truth="images/truth.zarr.zip",
            proposals="proposals/{shard}.zarr.zip",
            salient="saliency/{shard}.salient.zarr.zip",
        ),
    output:
        instances="<out>/reference/{variant}/{shard}.zarr.zip",
        manifest="<out>/reference/{variant}/{shard}.json",
    pathvars:
        job="reference.{variant}.{shard}",
    params:
        **job("reference"),
