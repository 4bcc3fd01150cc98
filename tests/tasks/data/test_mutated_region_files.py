"""Whatever becomes of a file about regions, its reader reads it or says what is wrong; nothing else."""

import json
import random

import pytest

from tasks.data.llava_files import read_llava_samples
from tasks.data.osprey_annotations import read_captioned_images, read_captioned_regions
from tasks.data.osprey_files import read_category_list, read_osprey_descriptions, read_osprey_samples
from tasks.data.region_facts import lvis_files
from tasks.data.region_prompts import to_utterances
from tasks.data.region_sample_files import dump_samples, read_samples, sample_to_json
from tasks.data.region_samples import choose_samples, describe_samples
from tasks.data.vcr import read_vcr
from tasks.data.visual_genome import read_visual_genome
from tasks.errors import DataError
from tests.tasks.data import test_llava_files as llava
from tests.tasks.data import test_osprey_annotations as annotations
from tests.tasks.data import test_osprey_files as osprey
from tests.tasks.data import test_region_facts as facts
from tests.tasks.data import test_region_sample_files as samples
from tests.tasks.data import test_vcr as vcr
from tests.tasks.data import test_visual_genome as genome
from tests.tasks.data.test_mutated_files import mutate


def written(folder, document):
    path = folder / "file.json"
    path.write_text(json.dumps(document))
    return path


def used(found):
    """Follow what was read as far as a model's input."""
    for sample in found:
        to_utterances(sample)
    assert found == [] or dump_samples(found)


def read_conversations(folder, choose):
    path = written(folder, mutate([osprey.entry(), osprey.entry()], choose))
    used(read_osprey_samples(path, kind="conversation", dataset="d", coco_2017=True))


def read_descriptions(folder, choose):
    row = osprey.described("<region1>: x", "<region2>: y")
    used(
        describe_samples(
            read_osprey_descriptions(written(folder, mutate([row], choose)), dataset="d"), seed=0
        )
    )


def read_list(folder, choose):
    read_category_list(written(folder, mutate([osprey.listed()], choose)))


def read_captions(folder, choose):
    path = written(folder, mutate(annotations.document(categories=[{"id": 1, "name": "dog"}]), choose))
    used(describe_samples(read_captioned_regions(path, dataset="d"), seed=0))


def read_expressions(folder, choose):
    path = written(folder, mutate(annotations.expressions(), choose))
    used(choose_samples(read_captioned_images(path, dataset="d"), seed=0))


def read_scenes(folder, choose):
    line, metadata = vcr.LINE, vcr.METADATA
    if choose.random() < 0.5:
        line = mutate(line, choose)
    else:
        metadata = mutate(metadata, choose)
    path, images = vcr.written(folder)
    path.write_text(json.dumps(line) + "\n")
    (images / "film/a.json").write_text(json.dumps(metadata))
    used(read_vcr(path, images, dataset="d", split="train"))


def read_llava(folder, choose):
    used(read_llava_samples(written(folder, mutate([llava.entry("<image>\nx", "y")], choose)), dataset="d"))


def read_phrases(folder, choose):
    paths = genome.written(folder, genome.REGION)
    path = choose.choice(paths)
    path.write_text(json.dumps(mutate(json.loads(path.read_text()), choose)))
    read_visual_genome(*paths, dataset="d", cut=choose.random() < 0.5)


def read_lines(folder, choose):
    path = folder / "samples.jsonl"
    path.write_text(json.dumps(mutate(sample_to_json(samples.SAMPLES[1]), choose)) + "\n")
    used(read_samples(path))


def read_urls(folder, choose):
    lvis_files(written(folder, mutate(facts.lvis_document(), choose)))


@pytest.mark.parametrize(
    "read",
    [
        *(read_conversations, read_descriptions, read_list, read_captions, read_expressions),
        *(read_scenes, read_llava, read_phrases, read_lines, read_urls),
    ],
    ids=lambda read: read.__name__,
)
def test_nothing_but_data_errors(tmp_path, read):
    choose = random.Random(6)
    places = []
    for _ in range(150):
        try:
            read(tmp_path, choose)
        except DataError as error:
            places.append(error.obj)
    assert 0 < len(places) < 150
    assert all(place.startswith(str(tmp_path)) for place in places)
