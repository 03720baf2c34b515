"""What stages share: stores, manifests, configuration, the adapter to Snakemake, device leases, photos, training."""
