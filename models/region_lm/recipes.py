"""A published system as data, in ``configs/region_lm``: what it is made of and how it was trained."""

from dataclasses import dataclass

from models.region_lm.config import LanguageSettings, ModelSettings
from models.region_lm.trainable import StagePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRecipe:
    """One system."""

    model: ModelSettings
    language: LanguageSettings
    """Of the published language model; a trained one from a folder takes its place."""
    stages: tuple[StagePlan, ...]
    """In order."""

    def __post_init__(self) -> None:
        """Refuse stages that cannot be told apart.

        Raises:
            ValueError: With the names.
        """
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"stages must be at least one, each with a name of its own, got {names}.")

    def stage(self, name: str) -> StagePlan:
        """Return a stage.

        Raises:
            ValueError: If there is none of this name.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise ValueError(f"there is no stage {name!r}; there are {[stage.name for stage in self.stages]}.")
