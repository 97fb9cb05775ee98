"""Text of files and users as a terminal may show it: without control characters, errors on one line."""

_LONGEST_LINE = 2000
"""Characters of an error's line; what a user passed may be far longer."""


def printable(text: object) -> str:
    r"""Return a text with everything that does not print, newlines included, written as an escape.

    Escape sequences would clear or recolour a terminal, and marks of writing direction reorder what is around
    them; names in files may hold both. Rich's markup is left as it is: :func:`sfl_lab.cli.terminal.console`
    shows it as the letters that it is made of.

    Examples
    --------
    >>> printable("conv1"), printable("\x1b[2Jconv1\n"), printable("\u202egnp.exe")
    ('conv1', '\\x1b[2Jconv1\\n', '\\u202egnp.exe')
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)


def one_line(text: object) -> str:
    r"""Return a text on one line: as :func:`printable`, white space folded, without its middle if very long.

    Examples
    --------
    >>> one_line("The file\n  is broken:\x07 no end.")
    'The file is broken:\\x07 no end.'
    """
    line = printable(" ".join(str(text).split()))
    half = _LONGEST_LINE // 2 - 3
    return line if len(line) <= _LONGEST_LINE else f"{line[:half]} ... {line[-half:]}"
