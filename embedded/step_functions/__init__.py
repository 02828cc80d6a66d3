"""Step Functions in the embedded AWS: our interpreter, on ministack's storage.

`service.py` installs it, `definition/` validates definitions, `states.py` runs them. ADR 0005 says
why it exists.
"""
