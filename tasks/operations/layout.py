"""Where the stages of dvc.yaml leave what a release needs. A test compares these paths with dvc.yaml."""

from pathlib import Path

MODEL_NAME = "segmenter"
"""Name in the ledger and in the MLflow registry."""
GATE = Path("configs/gates/segmenter.yaml")
DATASET = Path("data/dataset")
ABOUT = Path("artifacts/prepared/dataset.json")
VAL_RECORDS = Path("artifacts/prepared/val.jsonl")
MODEL = Path("artifacts/segmenter")
PREDICTIONS = Path("artifacts/predictions/val.jsonl")
EVALUATION = Path("artifacts/evaluation")
REPORTS = Path("artifacts/reports")
TRAINING_STAGE = "train_segmenter"
LAST_STAGE = "evaluate_detection"
"""With everything that it depends on, all that a candidate is made by."""
