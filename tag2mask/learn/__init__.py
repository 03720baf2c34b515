"""How networks learn: the training loop, checkpoints, schedules, backbones, crops."""
