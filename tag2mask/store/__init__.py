"""How artifacts are kept: Zarr stores, manifests, weights."""
