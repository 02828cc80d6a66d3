"""Step Functions in the embedded AWS: our interpreter, on ministack's storage, paths and
integrations.

`service.py` installs it, `definition.py` checks definitions, `states.py` runs them. ADR 0005 says
why it exists.
"""
