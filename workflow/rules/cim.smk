# One training, then labels of every shard, and answers on the validation photos.
use rule gpu_job as cim_train with:
    input:
        **reads(
            "cim_train",
            proposals="proposals/{shard}.zarr.zip",
            peaks="cam/{shard}.peaks.zarr.zip",
            points="images/points.zarr.zip",
            classifier="classifier/weights.pt",
        ),
    output:
        weights="<out>/cim/{variant}/weights.pt",
        manifest="<out>/cim/{variant}/weights.json",
        snapshots="<out>/cim/{variant}/snapshots.zarr.zip",
        snapshots_manifest="<out>/cim/{variant}/snapshots.json",
    pathvars:
        job="cim_train.{variant}",
    params:
        **job("cim_train"),


use rule gpu_job as cim with:
    input:
        **reads(
            "cim",
            weights="cim/weights.pt",
            proposals="proposals/{shard}.zarr.zip",
        ),
    output:
        instances="<out>/cim/{variant}/{shard}.zarr.zip",
        manifest="<out>/cim/{variant}/{shard}.json",
    pathvars:
        job="cim.{variant}.{shard}",
    params:
        **job("cim"),


use rule gpu_job as cim_predict with:
    input:
        **reads(
            "cim_predict",
            weights="cim/weights.pt",
            held_out="proposals/held_out.zarr.zip",
        ),
    output:
        predictions="<out>/cim/{variant}/predictions.zarr.zip",
        manifest="<out>/cim/{variant}/predictions.json",
    pathvars:
        job="cim_predict.{variant}",
    params:
        **job("cim_predict"),
