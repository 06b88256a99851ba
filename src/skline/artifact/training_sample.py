"""Which rows of the training part a pipeline was fitted on, if not on all of them."""

from pydantic import BaseModel, ConfigDict

#: How rows are chosen (`train.take`) → the words for it.
DESCRIPTIONS = {
    "random": "drawn by a hash of each row",
    "stratified": "drawn by a hash of each row, the same share of every class",
    "newest": "the newest by time",
}


class TrainingSample(BaseModel):
    """The sample of the training part.

    Attributes
    ----------
    rows, total : int
        The rows of the sample, and of the training part.
    take : {"random", "stratified", "newest"}
        How they were chosen.
    reason : str
        The setting that limits them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    total: int
    take: str
    reason: str

    def describe(self) -> str:
        """Return the sample as a sentence, for reports."""
        return (
            f"The pipeline was fitted on {self.rows:,} of the {self.total:,} rows of the training part "
            f"({self.rows / self.total:.1%}), {DESCRIPTIONS[self.take]}: {self.reason}."
        )
