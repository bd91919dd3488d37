"""Errors that are the user's to mend; imports nothing, so that every module may use it."""


class CrstepsInputError(ValueError):
    """A user's mistake, told in one sentence naming the file, the parameter and the remedy."""
