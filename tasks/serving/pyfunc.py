"""The segmenter behind `mlflow.pyfunc`: a table of images in, a table of regions out.

MLflow copies this file beside the weights and runs it to load the model ("models from code"), so nothing is
pickled. It imports no package of this project but ``models``, which travels with it.
"""

import base64
import binascii
import io
import warnings
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from PIL import Image

_MAX_PIXELS = 1 << 25
"""Largest image that is decoded; a small file can claim a huge one."""
_MAX_CHARACTERS = 1 << 26
"""Longest base64 text that is decoded."""
_BOX = ("left", "top", "right", "bottom")
_MASK = ("mask_height", "mask_width", "mask_counts")
_COLUMNS = ("image", "category", "score", *_BOX, *_MASK)


class ServedSegmenter(PythonModel):
    """Loads the directory that ``save_pretrained`` wrote and answers with regions."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 - MLflow fixes the signature
        """Read safetensors and configuration from the artifact ``model``."""
        from models.segmentation.hub import BoxSegmenter

        self._model = BoxSegmenter.from_pretrained(
            context.artifacts["model"], use_safetensors=True, local_files_only=True
        )
        self._model.train(False)

    def predict(
        self,
        context: Any,  # noqa: ANN401 - MLflow fixes the signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Find the regions of each image.

        Args:
            context: Unused.
            model_input: One row an image; column ``image_base64`` holds a PNG or JPEG file in base64.
            params: Unused.

        Returns:
            One row a region: ``image`` (number of the input row, from 0), ``category``, ``score`` in [0, 1],
            ``left``, ``top``, ``right``, ``bottom`` in pixels of the image, and the mask as COCO run lengths
            (``mask_height``, ``mask_width``, ``mask_counts``). An image without regions has no row.

        Raises:
            ValueError: If the column is missing or a row is no image; with the number of the row.
        """
        if "image_base64" not in model_input:
            raise ValueError(f"model_input must have a column image_base64, got {list(model_input.columns)}.")
        rows: list[tuple[Any, ...]] = []
        for number, text in enumerate(model_input["image_base64"]):
            rows += self._regions(number, decode_image(text, number))
        table = pd.DataFrame(rows, columns=list(_COLUMNS))
        numbers = {name: "int64" for name in ("image", "mask_height", "mask_width")}
        return table.astype(numbers | {name: "float64" for name in ("score", *_BOX)})

    def _regions(self, number: int, image: Image.Image) -> list[tuple[Any, ...]]:
        from pycocotools import mask as coco_mask

        (found,) = self._model.predict([np.array(image)])
        masks = coco_mask.encode(np.asfortranarray(found.masks.permute(1, 2, 0).numpy().astype(np.uint8)))
        names = self._model.category_names
        return [
            (number, names[category], score, *box, image.height, image.width, mask["counts"].decode("ascii"))
            for box, score, category, mask in zip(
                found.boxes_xyxy.tolist(),
                found.scores.tolist(),
                found.categories.tolist(),
                masks,
                strict=True,
            )
        ]


def decode_image(text: object, number: int) -> Image.Image:
    """Decode one base64 text to an RGB image.

    Args:
        text: What a client sent.
        number: Row of the table, for messages.

    Raises:
        ValueError: If it is not a whole PNG or JPEG of bearable size.
    """
    if not isinstance(text, str) or len(text) > _MAX_CHARACTERS:
        raise ValueError(f"row {number}: image_base64 must be text of at most {_MAX_CHARACTERS} characters.")
    try:
        content = base64.b64decode(text, validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError(
                    f"row {number}: image has {image.width}x{image.height} pixels, more than allowed."
                )
            return image.convert("RGB")
    except (
        binascii.Error,
        OSError,
        SyntaxError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(f"row {number}: not a whole PNG or JPEG in base64 ({error}).") from error


set_model(ServedSegmenter())
