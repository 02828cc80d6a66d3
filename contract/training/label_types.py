"""Types of label columns: which task and trainer can take them."""

from contract.training.training_spec import Task, Trainer

_WHOLE = frozenset({f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)})
_FLOATING = frozenset({"halffloat", "float", "double"})
_TEXT = frozenset({"string", "large_string"})
XGBOOST_TAKES_NUMBERS = (
    "trainer 'xgboost' takes classes numbered from 0; number them in the dataset, or use trainer 'sklearn'"
)


def label_kind(task: Task, kind: str) -> str | None:
    """Return the kind in which a label column is trained: `number`, `whole`, `bool` or `text`.

    `kind` is the type's name in pyarrow; that of its values for a dictionary. None means that the
    column cannot be the label of the task.

    >>> label_kind("regression", "decimal128(10, 2)"), label_kind("binary", "date32[day]")
    ('number', None)
    """
    if task == "regression":
        return "number" if kind in _WHOLE | _FLOATING | {"bool"} or kind.startswith("decimal") else None
    if kind == "bool":
        return "bool"
    # Whole numbers with nulls are often stored as floats. The job refuses those with a fraction.
    if kind in _WHOLE | _FLOATING:
        return "whole"
    return "text" if kind in _TEXT else None


def wanted_labels(task: Task, trainer: Trainer) -> str:
    """Return the types that a label of the task may have, in words."""
    if task == "regression":
        return "numbers or bool"
    return "whole numbers or bool" if trainer == "xgboost" else "whole numbers, bool or text"
