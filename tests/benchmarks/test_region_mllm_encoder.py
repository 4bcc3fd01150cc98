import torch

from benchmarks.region_mllm_encoder import (
    Namer,
    losses,
    named_right,
    part_of,
    prepare,
    teach,
)
from benchmarks.region_mllm_parts import PartSettings
from models.region_lm.build import build_vision
from models.region_lm.config import ConvNextSettings, VisionSettings
from tasks.data.shapes_world import WorldSettings, draw_scene

SETTINGS = VisionSettings(
    convnext=ConvNextSettings(
        image=64, dims=(4, 4, 8, 8), depths=(1, 1, 1, 1), token_level=2, layer_scale=1.0
    )
)
SCENES = [draw_scene(1, number, WorldSettings(side=64, most=3)) for number in range(1, 5)]


def test_cells_name_what_covers_them():
    lesson = prepare(SCENES, 64, (4, 4))
    assert lesson.cells.shape == (4, 16)
    for image, scene in enumerate(SCENES):
        for cell, region in enumerate(lesson.cells[image].tolist()):
            rows, columns = (slice(16 * place, 16 * place + 16) for place in divmod(cell, 4))
            covers = [part.mask[rows, columns].mean() for part in scene.objects]
            assert (region >= 0) == (max(covers) > 0.15)
            if region >= 0:
                own = region - int((lesson.images < image).sum())
                assert covers[own] == max(covers)


def test_a_part_keeps_regions_with_their_cells():
    lesson = prepare(SCENES, 64, (4, 4))
    part = part_of(lesson, [2, 0], mirrored=False)
    old = (lesson.images == 2).nonzero().flatten()
    assert torch.equal(part.masks[: len(old)], lesson.masks[old])
    assert torch.equal(part.images[: len(old)], torch.zeros(len(old), dtype=torch.int64))
    named = part.cells[0] >= 0
    assert torch.equal(part.names[part.cells[0][named]], lesson.names[lesson.cells[2][named]])
    twice = part_of(part_of(lesson, [1], mirrored=True), [0], mirrored=True)
    once = part_of(lesson, [1], mirrored=False)
    assert all(torch.equal(left, right) for left, right in zip(twice, once, strict=True))


def test_teaching_repeats_and_freezes():
    settings = PartSettings(steps=3, per_step=2, learning_rate=1e-2, warmup=30, average=0.0)
    encoder, cost = teach(SETTINGS, settings, SCENES, seed=1)
    again, _ = teach(SETTINGS, settings, SCENES, seed=1)
    assert all(
        torch.equal(left, right)
        for left, right in zip(encoder.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert set(cost) == {"wall_seconds", "processor_seconds"}


def test_naming_is_learned():
    torch.manual_seed(0)
    namer, lesson = Namer(build_vision(SETTINGS)), prepare(SCENES[:2], 64, (4, 4))
    optimizer = torch.optim.AdamW(namer.parameters(), lr=1e-2)
    before = sum(losses(namer, lesson).values()).item()
    for _ in range(6):
        optimizer.zero_grad()
        sum(losses(namer, lesson).values()).backward()
        optimizer.step()
    assert sum(losses(namer, lesson).values()).item() < 0.95 * before
    assert 0.0 <= named_right(namer, lesson) <= 1.0
