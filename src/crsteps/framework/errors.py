"""How the user's mistakes leave a step."""

from stpipe.exceptions import StpipeExitException

from crsteps.errors import CrstepsInputError


class CrstepsInputExit(StpipeExitException, CrstepsInputError):
    """
    A user's mistake that also ends ``strun`` without a traceback, with exit status 1.

    Parameters
    ----------
    message : str
        One sentence that names the file or parameter and the remedy.
    """

    def __init__(self, message):
        super().__init__(1, message)

    def __str__(self):
        return self.args[1]
