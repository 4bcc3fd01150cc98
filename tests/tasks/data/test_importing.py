"""Only regular, listed files come in; equal content gives an equal identity."""

import os
import resource
import shutil
import signal
from pathlib import Path

import pytest

from tasks.data.commit import verify_directory
from tasks.data.importing import check_file_name, import_coco
from tasks.errors import DataError, IntegrityError, UnavailableError, UsageError
from tests.tasks.data.test_commit import in_child
from tests.tiny.faults import edited
from tests.tiny.shapes import write_shapes_world


@pytest.fixture
def source(tmp_path):
    return write_shapes_world(tmp_path / "source", num_train=2, num_val=1)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data" / "dataset"


def test_everything_arrives(source, target):
    manifest = import_coco(source, target)
    assert sorted(manifest.files) == [
        "README.md",
        "annotations/instances_train.json",
        "annotations/instances_val.json",
        "train/train_000.jpg",
        "train/train_001.jpg",
        "val/val_000.jpg",
    ]
    assert verify_directory(target, schema="groundwork.dataset/1") == manifest
    assert manifest.provenance["name"] == "shapes-world"
    assert set(manifest.provenance) == {"name", "source_readme_sha256"}
    for name in manifest.files:
        assert (target / name).read_bytes() == (source / name).read_bytes()


def test_identity_depends_on_the_bytes_alone(source, target, tmp_path):
    first = import_coco(source, target)
    shutil.copytree(source, tmp_path / "elsewhere")
    for path in source.rglob("*.jpg"):
        os.utime(path, (0, 0))
    assert import_coco(tmp_path / "elsewhere", tmp_path / "other").sha256 == first.sha256
    with (source / "README.md").open("a") as stream:
        stream.write("One more line.\n")
    assert import_coco(source, target).sha256 != first.sha256


def test_the_same_content_is_not_written_again(source, target):
    manifest = import_coco(source, target)
    before = {path: path.stat() for path in [target, *target.rglob("*")]}
    assert import_coco(source, target) == manifest
    after = {path: path.stat() for path in [target, *target.rglob("*")]}
    assert {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in before.items()} == {
        path: (stat.st_ino, stat.st_mtime_ns) for path, stat in after.items()
    }


def test_damage_is_repaired_from_the_source(source, target):
    manifest = import_coco(source, target)
    (target / "train" / "train_000.jpg").write_bytes(b"")
    assert import_coco(source, target) == manifest
    assert verify_directory(target) == manifest


def test_a_flipped_bit_after_the_import_is_noticed(source, target):
    import_coco(source, target)
    image = target / "train" / "train_000.jpg"
    content = bytearray(image.read_bytes())
    content[-20] ^= 4
    image.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"changed train/train_000\.jpg") as caught:
        verify_directory(target)
    assert caught.value.exit_code == 5


def test_a_full_disk_leaves_nothing(source, target):
    (source / "train" / "train_000.jpg").write_bytes(b"x" * 100_000)

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        with pytest.raises(UnavailableError, match=r"File too large\. Nothing was changed"):
            import_coco(source, target)

    assert in_child(limited) == 0
    assert not target.exists()
    assert list(target.parent.iterdir()) == []


def test_what_is_left_out_is_named(source, target):
    (source / "test").mkdir()
    (source / "test" / "a.jpg").write_bytes(b"x")
    (source / "annotations" / "captions_val.json").write_text("{}")
    (source / "LICENSE").write_text("CC0")
    manifest = import_coco(source, target)
    assert manifest.provenance["left_out"] == ["annotations/captions_val.json", "test"]
    assert "LICENSE" in manifest.files


def test_other_names_of_splits(source, target):
    for old, new in (("train", "train2017"), ("val", "val2017")):
        (source / old).rename(source / new)
        (source / f"annotations/instances_{old}.json").rename(source / f"annotations/instances_{new}.json")
    manifest = import_coco(source, target, names={"train": "train2017", "val": "val2017"})
    assert "annotations/instances_train.json" in manifest.files
    assert "val/val_000.jpg" in manifest.files
    assert "left_out" not in manifest.provenance


def test_an_import_can_be_imported(source, target, tmp_path):
    manifest = import_coco(source, target)
    assert import_coco(target, tmp_path / "copy").sha256 == manifest.sha256


def link_file(source):
    (source / "train" / "train_000.jpg").unlink()
    (source / "train" / "train_000.jpg").symlink_to("/etc/hostname")


def link_folder(source):
    (source / "val").rename(source.parent / "away")
    (source / "val").symlink_to(source.parent / "away")


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (link_file, "train/train_000.jpg (link)"),
        (link_folder, "val (link)"),
        (lambda source: (source / "train" / "x.jpg").symlink_to("nowhere"), "train/x.jpg (link)"),
        (lambda source: (source / "extra").symlink_to("/etc"), "extra (link)"),
        (lambda source: os.mkfifo(source / "train" / "pipe"), "train/pipe (special file)"),
    ],
)
def test_links_and_special_files(source, target, damage, name):
    damage(source)
    with pytest.raises(IntegrityError) as caught:
        import_coco(source, target)
    assert caught.value.message == f"holds 1 links or special files: {name}."
    assert not target.exists()


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jpg",
        "/etc/hostname",
        "a/../../b.jpg",
        "a\\b.jpg",
        "C:x.jpg",
        "",
        "a\nb.jpg",
        "a\x1b[31m.jpg",
        "\ud800.jpg",
        7,
    ],
)
def test_names_that_lead_elsewhere(source, target, name):
    with edited(source, "train") as document:
        document["images"][0]["file_name"] = name
    with pytest.raises(IntegrityError) as caught:
        import_coco(source, target)
    assert caught.value.message.startswith(f"file_name {name!r} ")
    assert not target.exists()


@pytest.mark.parametrize(
    "name", ["a b.jpg", "-rf", "it's.jpg", 'q"uote.jpg', "sub/a.jpg", "ü.jpg", "$(reboot).jpg", "..a.jpg"]
)
def test_odd_names_are_fine(source, target, name):
    assert check_file_name(name) is None
    with edited(source, "val") as document:
        document["images"][0]["file_name"] = name
    (source / "val" / name).parent.mkdir(exist_ok=True)
    (source / "val" / "val_000.jpg").rename(source / "val" / name)
    assert f"val/{name}" in import_coco(source, target).files


def test_missing_and_unlisted_images(source, target):
    (source / "train" / "train_001.jpg").rename(source / "train" / "b.jpg")
    with pytest.raises(DataError) as caught:
        import_coco(source, target)
    assert caught.value.message == "1 images missing: train_001.jpg; 1 images not listed: b.jpg."
    assert caught.value.exit_code == 3
    assert not target.exists()


def test_a_name_that_is_not_text(source, target):
    Path(os.fsdecode(os.fsencode(source / "train") + b"/\xff.jpg")).write_bytes(b"x")
    with pytest.raises(DataError, match=r"1 images not listed: \\udcff\.jpg"):
        import_coco(source, target)


def test_names_that_differ_by_case(source, target):
    (source / "train" / "TRAIN_000.jpg").write_bytes(b"x")
    with edited(source, "train") as document:
        document["images"].append({**document["images"][0], "id": 99, "file_name": "TRAIN_000.jpg"})
    with pytest.raises(IntegrityError, match="are one file on some systems"):
        import_coco(source, target)


@pytest.mark.parametrize(
    "content", [b'{"images": [', b"[]", b'{"images": 3}', b'{"images": [{}]}', b'{"images": NaN}']
)
def test_annotations_that_cannot_be_read(source, target, content):
    (source / "annotations" / "instances_val.json").write_bytes(content)
    with pytest.raises(DataError, match=r"instances_val\.json: (invalid JSON at byte|is not a COCO)"):
        import_coco(source, target)
    assert not target.exists()


def test_places_that_make_no_sense(source, target, tmp_path):
    with pytest.raises(UsageError, match="is not a directory"):
        import_coco(tmp_path / "nothing", target)
    for place in (source, source / "train", tmp_path):
        with pytest.raises(UsageError, match="overlaps the source"):
            import_coco(source, place)
    target.mkdir(parents=True)
    (target / "precious.txt").write_text("x")
    with pytest.raises(UsageError, match="exists and was not made by an import"):
        import_coco(source, target)
    assert (target / "precious.txt").exists()
    (source / "annotations" / "instances_val.json").unlink()
    with pytest.raises(DataError, match=r"instances_val\.json: is missing"):
        import_coco(source, tmp_path / "new")


def test_a_source_that_changes_under_the_import(source, target, monkeypatch):
    from tasks.data import importing

    copy = importing._copy

    def copy_late(origin, place):
        if origin.name == "train_001.jpg":
            origin.write_bytes(origin.read_bytes() + b"x")
        return copy(origin, place)

    monkeypatch.setattr(importing, "_copy", copy_late)
    with pytest.raises(IntegrityError, match="changed while it was copied"):
        import_coco(source, target)
    assert not target.exists()
