"""The length of a training: the same number of steps for all subsets, or the same number of epochs."""

from dataclasses import dataclass, replace
from typing import Literal

from winnow.training import classifier
from winnow.training.classifier import Training


@dataclass(frozen=True)
class Length:
    """A budget. With steps every subset costs the same; with epochs, passes over it, a smaller one costs less.

    Attributes:
        amount: of steps or epochs.
        unit: which of the two.
    """

    amount: int
    unit: Literal["steps", "epochs"]

    def __str__(self) -> str:
        return f"{self.amount} {self.unit}"

    def training(self, training: Training, n: int) -> Training:
        """The training of a network on `n` images."""
        if self.unit == "steps":
            return replace(training, steps=self.amount)
        return classifier.for_epochs(training, self.amount, n)
