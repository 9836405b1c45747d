"""The one exception that means: the input is at fault, not the program."""


class InputError(ValueError):
    """Bad input. The message names the file, row, key or class at fault and the way out; commands exit with 2."""
