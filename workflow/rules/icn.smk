# What maps should become, one training, then the enhanced maps of every shard.
use rule cpu_job as icn_targets with:
    input:
        **reads(
            "icn_targets",
            prm="prm/{shard}.zarr.zip",
            proposals="proposals/{shard}.zarr.zip",
            salient="saliency/{shard}.salient.zarr.zip",
        ),
    output:
        targets="<out>/icn/{variant}/targets-{shard}.zarr.zip",
        manifest="<out>/icn/{variant}/targets-{shard}.json",
    pathvars:
        job="icn_targets.{variant}.{shard}",
    params:
        **job("icn_targets"),


use rule gpu_job as icn_train with:
    input:
        **reads(
            "icn_train",
            prm="prm/{shard}.zarr.zip",
            targets="icn/targets-{shard}.zarr.zip",
        ),
    output:
        weights="<out>/icn/{variant}/weights.pt",
        manifest="<out>/icn/{variant}/weights.json",
    pathvars:
        job="icn_train.{variant}",
    params:
        **job("icn_train"),


use rule gpu_job as icn with:
    input:
        **reads(
            "icn",
            prm="prm/{shard}.zarr.zip",
            weights="icn/weights.pt",
        ),
    output:
        enhanced="<out>/icn/{variant}/{shard}.zarr.zip",
        manifest="<out>/icn/{variant}/{shard}.json",
    pathvars:
        job="icn.{variant}.{shard}",
    params:
        **job("icn"),
