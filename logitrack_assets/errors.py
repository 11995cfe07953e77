"""The one family of errors that people are meant to read."""


class LogitrackError(Exception):
    """Something a person can mend: the message is one sentence that says what is wrong and how to put it right."""
