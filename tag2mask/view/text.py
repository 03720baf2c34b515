"""Numbers as people read them."""


def share(value, digits=1):
    """A share in [0, 1] in per cent, a dash for None."""
    return "-" if value is None else f"{100 * value:.{digits}f}"
