"""What the parts of Fleetscore say to each other: messages, paths, keys and names. Standard library only.

Each deployable (the Lambda code, the container image) ships its own copy of this package, so the parts can be
deployed minutes apart; `codec.SCHEMA_VERSION` travels with every message and an unknown one is refused by name.
"""
