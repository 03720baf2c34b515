"""How a job runs: configuration, plan, adapter, device lease, code digest, progress."""
