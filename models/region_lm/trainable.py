"""What trains when: the stages of a published training as data, and adapters on the language model.

LoRA: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", https://arxiv.org/abs/2106.09685, as in
peft. A stage names parts of the model by the start of their parameters' names; the longest name wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

LANGUAGE = "language"
"""Name of the language model among the parts."""
_ADAPTER = "stage"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedPart:
    """A part that learns."""

    part: str
    """Start of the names of its parameters, in whole words, such as ``language.model.embed_tokens``."""
    learning_rate: float
    """Peak."""

    def __post_init__(self) -> None:
        """Refuse rates that do not learn.

        Raises:
            ValueError: With the value.
        """
        if not self.part or not self.learning_rate > 0.0:
            raise ValueError(f"learning_rate of {self.part!r} must be positive, got {self.learning_rate}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Adapters on the linear layers of the language model, which itself stays as it is."""

    rank: int
    alpha: float
    """What the adapters add is scaled by ``alpha / rank``."""
    learning_rate: float
    """Peak."""
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Last names of the layers."""

    def __post_init__(self) -> None:
        """Refuse adapters that cannot be built.

        Raises:
            ValueError: With the values.
        """
        if self.rank < 1 or not self.alpha > 0.0 or not self.learning_rate > 0.0 or not self.targets:
            raise ValueError(
                f"rank, alpha, learning_rate must be positive and targets not empty, "
                f"got {self.rank}, {self.alpha}, {self.learning_rate}, {self.targets}."
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage of a training."""

    name: str
    train: tuple[TrainedPart, ...]
    global_batch: int
    """Samples of an optimizer step, over all processes."""
    epochs: int
    max_length: int
    """Longest sample in ids, before features are put in; longer ones lose their end."""
    lora: LoraSettings | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    """After the warm-up."""
    warmup_ratio: float = 0.03
    """Share of the steps during which the rates rise from zero."""
    weight_decay: float = 0.0
    """Of AdamW, on matrices and kernels."""

    def __post_init__(self) -> None:
        """Refuse stages in which nothing learns or that have no length.

        Raises:
            ValueError: With the values.
        """
        for name in ("global_batch", "epochs", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        parts = [trained.part for trained in self.train]
        if not parts and self.lora is None:
            raise ValueError(f"stage {self.name!r} trains nothing.")
        if len(set(parts)) != len(parts):
            raise ValueError(f"stage {self.name!r} names a part twice: {parts}.")
        if self.lora and LANGUAGE in parts:
            raise ValueError(f"stage {self.name!r} trains {LANGUAGE!r} both whole and by adapters.")
        if not 0.0 <= self.warmup_ratio < 1.0 or not self.weight_decay >= 0.0:
            raise ValueError(
                f"warmup_ratio must be in [0, 1) and weight_decay at least 0, "
                f"got {self.warmup_ratio} and {self.weight_decay}."
            )


def declared_rates(model: nn.Module, plan: StagePlan) -> dict[str, float]:
    """Return the peak learning rate of every parameter that a stage trains, by name.

    Raises:
        ValueError: If a part of the plan has no parameter in the model, or the plan has adapters and the
            model does not.
    """
    rates = _rates_of_parts(model, plan)
    if plan.lora:
        rate = plan.lora.learning_rate
        adapters = {name: rate for name, _ in model.named_parameters() if is_adapter(name)}
        if not adapters:
            raise ValueError(f"stage {plan.name!r} has adapters and the model has none: call begin_stage.")
        # In the order of the model: optimizers number what they hold.
        both = {**rates, **adapters}
        rates = {name: both[name] for name, _ in model.named_parameters() if name in both}
    return rates


def _rates_of_parts(model: nn.Module, plan: StagePlan) -> dict[str, float]:
    """Return the rates of parameters that are no adapters, after checking that every part is there."""
    rates: dict[str, float] = {}
    used: set[str] = set()
    for name, _ in model.named_parameters():
        if is_adapter(name):
            continue
        fitting = [part for part in plan.train if name == part.part or name.startswith(f"{part.part}.")]
        if fitting:
            best = max(fitting, key=lambda part: len(part.part))
            rates[name] = best.learning_rate
            used.update(part.part for part in fitting)
    if unused := [part.part for part in plan.train if part.part not in used]:
        parts = sorted({name.split(".")[0] for name, _ in model.named_parameters()})
        raise ValueError(
            f"stage {plan.name!r} trains {unused[0]!r}, which the model does not have; it has {parts}."
        )
    return rates


def begin_stage(model: nn.Module, plan: StagePlan) -> None:
    """Let exactly the parameters of a stage learn; adapters are added if it has them.

    Args:
        model: With its language model as ``language``; changed in place.
        plan: The stage.

    Raises:
        ValueError: If a part is not in the model, adapters of an earlier stage are not merged, or a target
            of the adapters is no layer of the language model, or one that shares its weight with the input
            embedding. The model then is as it was.
    """
    if has_adapters(model):
        raise ValueError(
            f"adapters of an earlier stage are in the model: merge_adapters before {plan.name!r}."
        )
    _rates_of_parts(model, plan)
    if plan.lora:
        _add_adapters(model, plan.lora)
    rates = declared_rates(model, plan)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in rates)


def parameter_groups(model: nn.Module, plan: StagePlan) -> list[dict[str, Any]]:
    """Return what AdamW is built from: one group for each rate, vectors and matrices apart.

    Args:
        model: After ``begin_stage``.
        plan: The stage.

    Returns:
        Groups with ``params``, ``names``, ``lr`` and ``weight_decay``, the same in every process.
    """
    parameters = dict(model.named_parameters())
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, rate in declared_rates(model, plan).items():
        decay = plan.weight_decay if parameters[name].ndim > 1 else 0.0
        group = groups.setdefault(
            (rate, decay), {"params": [], "names": [], "lr": rate, "weight_decay": decay}
        )
        group["params"].append(parameters[name])
        group["names"].append(name)
    return list(groups.values())


def is_adapter(name: str) -> bool:
    """Tell from its name whether a parameter belongs to an adapter."""
    return ".lora_" in name


def has_adapters(model: nn.Module) -> bool:
    """Tell whether adapters are in the model, not merged."""
    return any(isinstance(module, LoraLayer) for module in model.modules())


@torch.no_grad()
def merge_adapters(model: nn.Module) -> None:
    """Add what the adapters learned to the layers they sit on, and take them away; changed in place.

    Raises:
        ValueError: If an adapter holds values that are not finite.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)
            model.set_submodule(name, module.get_base_layer())


def _add_adapters(model: nn.Module, lora: LoraSettings) -> None:
    language = model.get_submodule(LANGUAGE)
    linear = {name.split(".")[-1] for name, part in language.named_modules() if isinstance(part, nn.Linear)}
    if missing := [target for target in lora.targets if target not in linear]:
        raise ValueError(f"the language model has no linear layer {missing[0]!r}; it has {sorted(linear)}.")
    table = language.get_input_embeddings().weight  # type: ignore[operator]  # of transformers
    for name, part in language.named_modules():
        if name.split(".")[-1] in lora.targets and getattr(part, "weight", None) is table:
            raise ValueError(
                f"{name!r} of the language model is its input embedding as well (tied): an adapter on one of "
                "both cannot be merged. Leave it out of lora.targets."
            )
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a float does as well
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
    )
    inject_adapter_in_model(config, language, adapter_name=_ADAPTER)


def adapter_state(model: nn.Module) -> Mapping[str, torch.Tensor]:
    """Return the values of the adapters by name; ``load_state_dict(..., strict=False)`` puts them back."""
    return {name: value for name, value in model.state_dict().items() if is_adapter(name)}
