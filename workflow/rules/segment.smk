# DeepLab on the labels merged by class (LIID, Sec. 6.5), for the recipes in train_segment.
use rule gpu_job as segment_train with:
    input:
        **reads(
            "segment_train",
            labels="pseudo_labels/labels.zarr",
        ),
    output:
        weights="<out>/segment/{recipe}/weights.pt",
        manifest="<out>/segment/{recipe}/weights.json",
    pathvars:
        job="segment_train.{recipe}",
    params:
        **job("segment_train"),


use rule gpu_job as segment with:
    input:
        **reads(
            "segment",
            weights="segment/weights.pt",
        ),
    output:
        predictions="<out>/segment/{recipe}/predictions.zarr.zip",
        manifest="<out>/segment/{recipe}/predictions.json",
    pathvars:
        job="segment.{recipe}",
    params:
        **job("segment"),
