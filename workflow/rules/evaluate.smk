# Pseudo labels on the training photos with masks, predictions on the validation split.
use rule cpu_job as evaluate with:
    input:
        **reads(
            "evaluate",
            more=measured(),
            truth="images/truth.zarr.zip",
            labels="pseudo_labels/labels.zarr",
            predictions="refine/predictions.zarr.zip",
            segmentation="segment/predictions.zarr.zip",
        ),
    output:
        metrics="<out>/evaluate/{recipe}/metrics.json",
    pathvars:
        job="evaluate.{recipe}",
    params:
        **job("evaluate"),
