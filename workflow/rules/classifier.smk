use rule gpu_job as classifier_train with:
    input:
        **reads(
            "classifier_train",
        ),
    output:
        weights="<out>/classifier/{variant}/weights.pt",
        manifest="<out>/classifier/{variant}/weights.json",
    pathvars:
        job="classifier_train.{variant}",
    params:
        **job("classifier_train"),
