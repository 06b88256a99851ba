"""Classes with too few rows: how many rows a class needs, and what to do about one that has fewer."""

#: With fewer rows of a class in the table, more than one in a hundred random splits (15 % validation, 20 % test) have
#: at most one of them in the test part, from which no metric of the class has an interval.
MIN_CLASS_ROWS = 30
#: Where a class has a larger share of the rows, it is the table that is small, and not the class that is rare.
RARE_SHARE = 0.05


def rare_class_remedy(target: str) -> str:
    """Return how to get rid of a rare class of the target."""
    return (
        "merge it with another class or drop its rows, in prepare() of src/model/source.py, and remove it from isin of "
        f"{target} in src/model/contract.py"
    )
