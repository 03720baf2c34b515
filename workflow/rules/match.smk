use rule cpu_job as match with:
    input:
        **reads(
            "match",
            prm="prm/{shard}.zarr.zip",
            enhanced="icn/{shard}.zarr.zip",
            proposals="proposals/{shard}.zarr.zip",
            cam="cam/{shard}.cam.zarr.zip",
        ),
    output:
        instances="<out>/match/{variant}/{shard}.zarr.zip",
        merged="<out>/match/{variant}/{shard}.merged.zarr.zip",
        manifest="<out>/match/{variant}/{shard}.json",
    pathvars:
        job="match.{variant}.{shard}",
    params:
        **job("match"),
