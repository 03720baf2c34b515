"""Errors that a user can cause; each is one clear sentence and is shown without a traceback."""


class UserError(Exception):
    """One sentence that names the file or key and the way out."""


class BadImage(UserError):
    """A photo that cannot be used; skipped where the configuration says `on_bad_image: skip`."""
