"""What leads the proposals of a photo, where the configuration says so: learned edges and salient instances."""

from tag2mask.errors import UserError


def opened(inputs, config, *, prefix=""):
    """A function image id -> keywords of `propose`, or None where the edges' store has no map of that photo.

    inputs : edges (maps/1) where config.edges, salient (instances/1) where config.salient, each with `prefix` before
    its name; others are not looked at. Raises UserError where one of them is not given or does not know the photo.
    """
    from tag2mask.data.instances import Instances
    from tag2mask.data.maps import Maps

    def store(kind, key, stage):
        if not getattr(config, key):
            return None
        return loaded(kind, getattr(inputs, prefix + key, None), key=key, stage=stage)

    edges, salient = store(Maps, "edges", "edges"), store(Instances, "salient", "saliency")

    def of(name):
        found = {}
        if edges is not None:
            _, maps = edges[0].of(number(edges, name, stage="edges"))
            if not maps:
                return None
            found["boundaries"] = maps[0]
        if salient is not None:
            found["salient"] = salient[0].masks(number(salient, name, stage="saliency"))
        return found

    return of


def loaded(kind, path, *, key, stage):
    """(the store at `path`, {image id: its number}), which the stage makes and proposals.<key> wants."""
    if path is None:
        raise UserError(
            f"proposals.{key} needs what the stage {stage} makes, and it was not given; name the variant in "
            f"`from: {{{stage}: ...}}`, or set proposals.{key}: false."
        )
    store = kind.load(path)
    return store, {name: k for k, name in enumerate(store.image_id)}


def number(store, name, *, stage):
    """The number of the photo `name` in a store."""
    if name not in store[1]:
        raise UserError(f"The store of the stage {stage} lacks the photo {name}: build it again.")
    return store[1][name]


def alone(photo, config):
    """The same of a photo of no run, by the keys in config.upstream, those not given are the defaults."""
    from tag2mask.run import registry

    found, keys = {}, config.upstream
    if config.edges:
        found["boundaries"] = registry.alone("edges.edges")(photo, keys.get("edges", {}))
    if config.salient:
        found["salient"], _ = registry.alone("saliency.salient")(photo, keys.get("saliency", {}))
    return found
