use rule gpu_job as refine_train with:
    input:
        **reads(
            "refine_train",
            labels="pseudo_labels/labels.zarr",
            semantic="semantic/{shard}.zarr.zip",
        ),
    output:
        weights="<out>/refine/{recipe}/weights.pt",
        manifest="<out>/refine/{recipe}/weights.json",
        added="<out>/refine/{recipe}/added.zarr.zip",
        added_manifest="<out>/refine/{recipe}/added.json",
    pathvars:
        job="refine_train.{recipe}",
    params:
        **job("refine_train"),


use rule gpu_job as refine with:
    input:
        **reads(
            "refine",
            weights="refine/weights.pt",
        ),
    output:
        predictions="<out>/refine/{recipe}/predictions.zarr.zip",
        manifest="<out>/refine/{recipe}/predictions.json",
    pathvars:
        job="refine.{recipe}",
    params:
        **job("refine"),
