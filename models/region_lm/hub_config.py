"""``config.json`` of a model that sees regions, as transformers knows one."""

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from models.blocks.stored_values import from_stored
from models.region_lm.config import ModelSettings


class RegionMLLMConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Settings, ids and the language model's own configuration, as ``config.json``."""

    model_type: ClassVar[str] = "groundwork-region-mllm"
    sub_configs_defaults: ClassVar[dict[str, SubConfigSpec]] = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama")
    }

    text_config: dict[str, Any] | PreTrainedConfig | None = None
    """Of the language model, of any kind that transformers has."""
    model_settings: dict[str, Any] | None = None
    """Fields of ``ModelSettings``."""
    placeholder_ids: dict[str, int] | None = None
    """Ids by name."""
    separator_ids: dict[str, list[int]] | None = None
    """Of ``column``, between tiles, and ``row``, behind a row of them; a sign may need several."""
    terminator_id: int | None = None
    """Ends an answer."""
    num_tokens: int | None = None
    """Of the tokenizer; vocabularies may have rows behind its last token, which cannot be said."""
    tie_word_embeddings: bool = False
    """Of the language model."""

    def settings(self) -> ModelSettings:
        """Return the settings.

        Raises:
            ValueError: If a field is missing, unknown or refused.
        """
        return from_stored(ModelSettings, self.model_settings, "model_settings")
