"""Optimiser and schedule of what `mil` trains: LIID's network and Fan's extractor alike."""

from tag2mask.learn.schedules import drops_of, make_optimiser, make_schedule, parameter_groups


def optimiser_of(model, config):
    """The backbone at the rate, the scores' layer at `rate_new` times it."""
    groups = parameter_groups(
        model, model.backbone, rate=config.rate, new=config.rate_new, weight_decay=config.weight_decay
    )
    return make_optimiser(config.optimiser, groups, momentum=config.momentum)


def rate_of(config, iterations, count):
    """iteration -> factor of the rates, over `count` photos."""
    return make_schedule(config.schedule, iterations, drops=drops_of(config.drops, count, config.batch))
