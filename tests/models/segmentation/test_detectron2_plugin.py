"""Our models, losses and data inside detectron2: registries, trainers, checkpoints. Skipped without it."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.segmentation.detectron2_names import OURS, resnet_to_detectron2, resnet_to_torchvision
from models.segmentation.instance_hub import InstanceSegmenter, new_instance_segmenter
from models.segmentation.learning import schedule_steps
from models.segmentation.objective import TrainingBatch
from models.segmentation.recipes import reduced
from tests.models.segmentation.test_detectron2_names import old_dialect
from tests.models.segmentation.test_recipes import read
from tests.models.segmentation.tiny import THRESHOLDS

MODULE = "models.segmentation.detectron2_plugin"
WHY = "detectron2 is not installed: docs/detectron2.md says how it is built"
SAMPLE = Path(__file__).resolve().parents[3] / "data" / "sample"
HEADS = {
    "condinst": reduced(read("condinst_affinity_r50_coco")),
    "solo": reduced(read("solov2_r50_coco")),
    "query": reduced(read("mask2former_r50_coco")),
}
HEADS = {head: replace(recipe, num_categories=1, images_per_step=2) for head, recipe in HEADS.items()}
STUDENT = replace(
    reduced(read("tiny_condinst")), images=replace(read("tiny_condinst").images, crop=128, jitter=(0.5, 0.5))
)


@pytest.fixture(scope="module")
def plugin():
    pytest.importorskip("detectron2", reason=WHY)
    return importlib.import_module(MODULE)


@pytest.fixture
def configure(plugin, tmp_path):
    from detectron2.config import get_cfg

    def build(recipe, *, num_images=6, **keys):
        cfg = get_cfg()
        plugin.add_groundwork_config(cfg)
        plugin.apply_recipe(cfg, recipe, num_images=num_images)
        plain = {"MODEL.DEVICE": "cpu", "MODEL.WEIGHTS": "", "OUTPUT_DIR": str(tmp_path), "SEED": 0}
        plain |= {"DATALOADER.NUM_WORKERS": 0, "DATASETS.TEST": ()} | keys
        for key, value in plain.items():
            cfg.merge_from_list([key.replace("__", "."), value])
        return cfg

    return build


@pytest.fixture
def nuclei(plugin, tmp_path):
    """Four images of the sample, registered; their masks are broken on purpose."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    document = json.loads((SAMPLE / "annotations" / "instances_train.json").read_text())
    document["images"] = document["images"][:4]
    known = {row["id"] for row in document["images"]}
    document["annotations"] = [row for row in document["annotations"] if row["image_id"] in known]
    for row in document["annotations"]:
        row["segmentation"] = "not to be read"
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(document))
    plugin.register_coco_boxes("tests_nuclei", path, SAMPLE / "train")
    yield path
    DatasetCatalog.remove("tests_nuclei")
    MetadataCatalog.pop("tests_nuclei")


def item(height=128, width=128, seed=0):
    from detectron2.structures import Boxes, Instances

    generator = torch.Generator().manual_seed(seed)
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.tensor([[10.0, 8.0, 60.0, 70.0], [70.0, 20.0, 100.0, 110.0]]))
    instances.gt_classes = torch.zeros(2, dtype=torch.int64)
    pixels = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    return {"image": pixels, "instances": instances, "height": height, "width": width}


def test_without_detectron2_the_message_says_where_to_get_it(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "detectron2" or name == MODULE]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "detectron2", None)
    message = r"^detectron2 is not installed; docs/detectron2\.md says how it is built from its source\.$"
    with pytest.raises(ModuleNotFoundError, match=message):
        importlib.import_module(MODULE)


@pytest.mark.parametrize("head", HEADS)
def test_a_configuration_and_a_lazy_one_build_the_same_model(plugin, configure, head):
    from detectron2.config import instantiate
    from detectron2.modeling import build_model

    cfg = configure(HEADS[head])
    assert plugin.recipe_from(cfg) == HEADS[head]
    model = build_model(cfg)
    lazy = instantiate(plugin.lazy_config(HEADS[head], num_images=6).model)
    assert isinstance(model, plugin.GroundworkBoxSegmenter)
    assert model.recipe == lazy.recipe == HEADS[head]
    assert model.pixels == lazy.pixels == OURS
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert {name: value.shape for name, value in lazy.state_dict().items()} == shapes


@pytest.mark.parametrize("head", HEADS)
def test_there_and_back_is_equal_to_the_bit_and_so_are_losses(plugin, head):
    from detectron2.utils.events import EventStorage

    ours = new_instance_segmenter(["nucleus"], HEADS[head])
    theirs = plugin.from_instance_segmenter(ours).train()
    given = item(128, 256)
    batch = TrainingBatch(
        image_BCHW=given["image"][None].float() / 255.0,
        boxes=(given["instances"].gt_boxes.tensor,),
        categories=(given["instances"].gt_classes,),
        image_ids=(0,),
    )
    with EventStorage(7):
        losses = theirs([given])
    expected = ours.segmenter.losses(batch, HEADS[head].supervision, step=7)
    assert {f"loss_{name}" for name in expected} == losses.keys()
    assert all(torch.equal(losses[f"loss_{name}"], value) for name, value in expected.items())
    back = plugin.to_instance_segmenter(theirs, ["nucleus"])
    assert back.category_names == ("nucleus",)
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in ours.state_dict().items())


def test_files_both_ways(plugin, tmp_path):
    from detectron2.checkpoint import DetectionCheckpointer

    ours = new_instance_segmenter(["nucleus"], HEADS["solo"])
    ours.save_pretrained(tmp_path / "ours")
    loaded = InstanceSegmenter.from_pretrained(tmp_path / "ours", local_files_only=True)
    DetectionCheckpointer(plugin.from_instance_segmenter(loaded), str(tmp_path)).save("model")
    other = plugin.from_instance_segmenter(new_instance_segmenter(["nucleus"], HEADS["solo"]))
    DetectionCheckpointer(other).load(str(tmp_path / "model.pth"))
    plugin.to_instance_segmenter(other, ["nucleus"]).save_pretrained(tmp_path / "back")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("ours", "back"))
    assert first == second


def test_a_network_that_would_say_something_else_is_not_converted(plugin, configure):
    from detectron2.modeling import build_model

    recipe = replace(read("solov2_r50_coco"), num_categories=1)
    moved = configure(recipe, MODEL__RESNETS__STRIDE_IN_1X1=True, MODEL__DEVICE="meta")
    with torch.device("meta"):
        model = build_model(moved)
    with pytest.raises(
        ValueError, match=r"^backbone\.bottom_up\.res3\.0\.conv1 has stride \(2, 2\), ours has"
    ):
        plugin.to_instance_segmenter(model, ["nucleus"])
    with torch.device("meta"):
        model = build_model(configure(recipe, INPUT__FORMAT="BGR", MODEL__DEVICE="meta"))
    with pytest.raises(ValueError, match=r"^our models see .*order='RGB'\), this one .*order='BGR'\)"):
        plugin.to_instance_segmenter(model, ["nucleus"])
    with torch.device("meta"):
        model = build_model(configure(recipe, MODEL__FPN__NORM="GN", MODEL__DEVICE="meta"))
    with pytest.raises(
        ValueError, match=r"do not fit InstanceSegmenter; .* without a counterpart: .*fpn_lateral2"
    ):
        plugin.to_instance_segmenter(model, ["nucleus"])


def test_without_a_recipe_or_with_another_pyramid_nothing_is_built(plugin, configure):
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    cfg = get_cfg()
    plugin.add_groundwork_config(cfg)
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DEVICE = "GroundworkBoxSegmenter", "cpu"
    with pytest.raises(ValueError, match=r"^there is no recipe: call apply_recipe"):
        build_model(cfg)
    cfg = configure(HEADS["condinst"], MODEL__BACKBONE__NAME="build_resnet_fpn_backbone")
    with pytest.raises(ValueError, match=r"^CondInstHead reads levels of \(stride, channels\) \[\(8, 32\)"):
        build_model(cfg)


@pytest.mark.parametrize("name", ["boxinst_r50_coco", "solov2_r50_voc", "mask2former_r50_voc", "tiny_solo"])
def test_rates_are_ours(plugin, configure, name):
    from detectron2.config import instantiate
    from detectron2.solver import LRMultiplier, build_lr_scheduler

    recipe = replace(read(name), images_per_step=1)
    total, per_unit = schedule_steps(recipe, 400)
    peak = recipe.optimizer.learning_rate
    weight = torch.nn.Parameter(torch.zeros(1))
    first, second = (torch.optim.SGD([weight], lr=peak) for _ in range(2))
    cfg = configure(recipe, num_images=400)
    lazy = plugin.lazy_config(recipe, num_images=400)
    assert lazy.train.max_iter == cfg.SOLVER.MAX_ITER == total
    stock = build_lr_scheduler(cfg, first)
    other = LRMultiplier(second, instantiate(lazy.lr_multiplier), max_iter=total)
    places = {0, 1, recipe.schedule.warmup_steps // 2, recipe.schedule.warmup_steps, total - 1}
    places |= {drop * per_unit + by for drop in recipe.schedule.drops for by in (-1, 0, 1)}
    for step in sorted(place for place in places if 0 <= place < total):
        expected = recipe.schedule.rate(step, peak=peak, steps_per_unit=per_unit)
        for scheduler in (stock, other):
            scheduler.last_epoch = step
            assert scheduler.get_lr()[0] == pytest.approx(expected, rel=1e-6), step


def test_only_boxes_are_registered(plugin, nuclei):
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.structures import BoxMode

    records = DatasetCatalog.get("tests_nuclei")
    assert len(records) == 4
    fields = {"bbox", "bbox_mode", "category_id", "iscrowd"}
    assert all(one.keys() == fields for record in records for one in record["annotations"])
    assert records[0]["annotations"][0]["bbox_mode"] is BoxMode.XYXY_ABS
    known = MetadataCatalog.get("tests_nuclei")
    assert known.thing_classes == ["nucleus"]
    assert known.thing_dataset_id_to_contiguous_id == {1: 0}
    assert known.json_file == str(nuclei)
    for text, message in (("{", "Expecting property name"), ("[]", "'images' must be a list of objects")):
        nuclei.write_text(text)
        with pytest.raises(ValueError, match=rf"boxes\.json: {message}"):
            DatasetCatalog.get("tests_nuclei")


def test_a_mapper_shows_what_the_recipe_asks_for(plugin, nuclei):
    from detectron2.data import DatasetCatalog

    record = DatasetCatalog.get("tests_nuclei")[0]
    cropped = replace(STUDENT, images=replace(STUDENT.images, jitter=(1.5, 1.5)))
    shown = plugin.BoxMapper(cropped, is_train=True)(record)
    assert shown["image"].shape == (3, 128, 128)
    assert shown["contrast_stretched"]
    assert set(shown["instances"].get_fields()) == {"gt_boxes", "gt_classes"}
    whole = plugin.BoxMapper(STUDENT, is_train=False)(record)
    assert max(whole["image"].shape) == 128
    assert (whole["image"].min(), whole["image"].max()) == (0, 255)
    sized = plugin.BoxMapper(HEADS["solo"], is_train=True, order="BGR")(record)
    assert 96 <= min(sized["image"].shape[1:]) <= 128
    assert not sized["contrast_stretched"]
    swapped = plugin.BoxMapper(STUDENT, is_train=False, order="BGR")(record)
    assert torch.equal(swapped["image"].flip(0), whole["image"])


def test_the_trainer_of_detectron2_trains_stops_and_goes_on(plugin, configure, nuclei):
    from detectron2.engine import DefaultPredictor

    keys = {"DATASETS__TRAIN": ("tests_nuclei",), "SOLVER__STEPS": (), "SOLVER__WARMUP_ITERS": 1}
    cfg = configure(STUDENT, SOLVER__MAX_ITER=3, SOLVER__CHECKPOINT_PERIOD=2, **keys)
    trainer = plugin.GroundworkTrainer(cfg)
    assert isinstance(trainer.optimizer, torch.optim.AdamW)
    trainer.resume_or_load(resume=False)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    assert any(not torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())
    again = plugin.GroundworkTrainer(configure(STUDENT, SOLVER__MAX_ITER=4, **keys))
    again.resume_or_load(resume=True)
    assert again.start_iter == 3
    kept = {name: value.clone() for name, value in again.model.state_dict().items()}
    assert all(torch.equal(value, kept[name]) for name, value in trainer.model.state_dict().items())
    again.train()
    final = str(Path(cfg.OUTPUT_DIR) / "model_final.pth")
    predictor = DefaultPredictor(configure(STUDENT, MODEL__WEIGHTS=final))
    predictor.model.recipe = replace(STUDENT, prediction=replace(THRESHOLDS, mask_threshold=0.1))
    found = predictor(item(90, 70)["image"].permute(1, 2, 0).numpy())["instances"]
    assert found.image_size == (90, 70)
    assert found.pred_masks.shape[1:] == (90, 70)
    assert next(iter(plugin.GroundworkTrainer.build_test_loader(cfg, "tests_nuclei")))[0]["height"] == 256


def test_a_lazy_optimizer_and_two_steps_of_the_simple_trainer(plugin):
    from detectron2.config import instantiate
    from detectron2.engine import SimpleTrainer

    lazy = plugin.lazy_config(HEADS["query"], num_images=6)
    lazy.model.recipe.fields.supervision.global_weight = 0.0
    lazy.optimizer.optimizer.learning_rate = 0.01
    model = instantiate(lazy.model)
    lazy.optimizer.params.model = model
    optimizer = instantiate(lazy.optimizer)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {round(group["lr"], 9) for group in optimizer.param_groups} == {0.01, 0.001}
    trainer = SimpleTrainer(model, [[item()]] * 2, optimizer)
    before = model.head.network.class_predictor.weight.detach().clone()
    trainer.train(0, 2)
    assert not torch.equal(before, model.head.network.class_predictor.weight)
    assert "loss_global" not in trainer.storage.latest()
    assert trainer.storage.latest()["loss_projection"][0] > 0.0


def test_mask_rcnn_learns_masks_from_boxes(plugin, configure):
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model
    from detectron2.utils.events import EventStorage

    cfg = get_cfg()
    plugin.add_groundwork_config(cfg)
    backbone = configure(HEADS["solo"]).MODEL
    cfg.MODEL.BACKBONE, cfg.MODEL.RESNETS, cfg.MODEL.FPN = backbone.BACKBONE, backbone.RESNETS, backbone.FPN
    levels = ["p2", "p3", "p4", "p5"]
    keys = {
        "MODEL.META_ARCHITECTURE": "GeneralizedRCNN", "MODEL.DEVICE": "cpu", "MODEL.MASK_ON": True,
        "MODEL.RPN.IN_FEATURES": [*levels, "p6"],
        "MODEL.ANCHOR_GENERATOR.SIZES": [[16], [32], [64], [96], [128]],
        "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 50, "MODEL.RPN.POST_NMS_TOPK_TRAIN": 20,
        "MODEL.RPN.PRE_NMS_TOPK_TEST": 50, "MODEL.RPN.POST_NMS_TOPK_TEST": 5,
        "MODEL.ROI_HEADS.NAME": "BoxSupervisedROIHeads", "MODEL.ROI_HEADS.IN_FEATURES": levels,
        "MODEL.ROI_HEADS.NUM_CLASSES": 2, "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0,
        "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead", "MODEL.ROI_BOX_HEAD.NUM_FC": 1,
        "MODEL.ROI_BOX_HEAD.FC_DIM": 32, "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
        "MODEL.ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead", "MODEL.ROI_MASK_HEAD.NUM_CONV": 1,
        "MODEL.ROI_MASK_HEAD.CONV_DIM": 32, "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 14,
        "MODEL.GROUNDWORK.SUPERVISION.local_iterations": 2, "MODEL.GROUNDWORK.WINDOW.regions_per_image": 1,
    }  # fmt: skip
    for key, value in keys.items():
        cfg.merge_from_list([key, value])
    model = build_model(cfg).train()
    with EventStorage(0):
        losses = model([item()])
        empty = item(seed=1)
        empty["instances"] = empty["instances"][[]]
        nothing = model([empty])
    masks = {"loss_mask_projection", "loss_mask_global", "loss_mask_local"}
    assert masks < losses.keys()
    assert losses.keys() == nothing.keys()
    assert all(losses[name] > 0.0 for name in masks)
    assert all(nothing[name] == 0.0 for name in masks)
    sum(losses.values()).backward()
    assert model.roi_heads.mask_head.predictor.weight.grad[0].abs().sum() > 0.0
    assert model.roi_heads.mask_head.predictor.weight.grad[1].eq(0.0).all()  # no box of that category
    with torch.no_grad():
        found = model.eval()([item(96, 70)])[0]["instances"]
    assert len(found)
    assert found.pred_masks.shape[1:] == (96, 70)


def test_a_mask_head_that_has_no_logits_of_windows_is_refused(plugin):
    window, supervision = plugin.WindowSettings(), plugin.BoxSupervision()
    parts = {"num_classes": 1, "batch_size_per_image": 1, "positive_fraction": 0.5, "proposal_matcher": None}
    parts |= {"box_in_features": ["p2"], "box_pooler": None, "box_head": None, "box_predictor": None}
    parts |= {"mask_in_features": ["p2"], "mask_pooler": None, "mask_head": torch.nn.Identity()}
    with pytest.raises(
        TypeError, match=r"needs a mask head that is a BaseMaskRCNNHead, .*; got Identity: choose"
    ):
        plugin.BoxSupervisedROIHeads(supervision=supervision, window=window, pixels=OURS, **parts)


def test_the_older_dialect_is_read_as_detectron2_reads_it(plugin):
    from detectron2.checkpoint.c2_model_loading import convert_basic_c2_names
    from torchvision.models import resnet101

    names = [name for name in resnet101().state_dict() if not name.startswith("fc.") and "num_" not in name]
    names = [name for name in names if "running" not in name]
    old = [old_dialect(name) for name in names]
    assert [resnet_to_detectron2(resnet_to_torchvision(name)) for name in old] == convert_basic_c2_names(old)
