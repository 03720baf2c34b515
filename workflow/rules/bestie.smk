# One training, then labels of every shard, and answers on the validation photos.
use rule gpu_job as bestie_train with:
    input:
        **reads(
            "bestie_train",
            transfer="transfer/{shard}.zarr.zip",
            semantic="semantic/{shard}.zarr.zip",
            points="images/points.zarr.zip",
        ),
    output:
        weights="<out>/bestie/{variant}/weights.pt",
        manifest="<out>/bestie/{variant}/weights.json",
        snapshots="<out>/bestie/{variant}/snapshots.zarr.zip",
        snapshots_manifest="<out>/bestie/{variant}/snapshots.json",
    pathvars:
        job="bestie_train.{variant}",
    params:
        **job("bestie_train"),


use rule gpu_job as bestie with:
    input:
        **reads(
            "bestie",
            weights="bestie/weights.pt",
            points="images/points.zarr.zip",
        ),
    output:
        instances="<out>/bestie/{variant}/{shard}.zarr.zip",
        manifest="<out>/bestie/{variant}/{shard}.json",
    pathvars:
        job="bestie.{variant}.{shard}",
    params:
        **job("bestie"),


use rule gpu_job as bestie_predict with:
    input:
        **reads(
            "bestie_predict",
            weights="bestie/weights.pt",
        ),
    output:
        predictions="<out>/bestie/{variant}/predictions.zarr.zip",
        manifest="<out>/bestie/{variant}/predictions.json",
    pathvars:
        job="bestie_predict.{variant}",
    params:
        **job("bestie_predict"),
