import json
import os
import shutil
import signal

import pytest

from tasks.data.commit import commit_directory, read_manifest, verify_directory
from tasks.errors import IntegrityError, UnavailableError, UsageError
from tasks.services.bundles import DirectoryBundles, S3Bundles, assemble, bundle_id_of, open_bundles
from tasks.services.settings import Settings


@pytest.fixture(params=["directory", "s3"])
def store(request, tmp_path):
    if request.param == "directory":
        return DirectoryBundles(tmp_path / "bundles")
    return S3Bundles(bucket=request.getfixturevalue("bucket"), cache=tmp_path / "cache")


def test_a_bundle_joins_a_model_and_its_evaluation(make_bundle):
    bundle = make_bundle()
    assert sorted(path.name for path in bundle.iterdir()) == [
        "evaluation",
        "manifest.json",
        "model",
        "provenance.json",
    ]
    assert json.loads((bundle / "provenance.json").read_bytes()) == {"seed": 1}
    verify_directory(bundle, schema="groundwork.bundle/1")
    verify_directory(bundle / "model", schema="groundwork.segmenter/1")


def test_equal_content_has_an_equal_name(make_bundle):
    names = [bundle_id_of(read_manifest(make_bundle(content))) for content in ("x", "x", "y")]
    assert names[0] == names[1] != names[2]


def test_an_evaluation_of_another_model_is_refused(make_model, tmp_path):
    def write(folder):
        (folder / "metrics.json").write_text('{"model_sha256": "feed"}')

    commit_directory(tmp_path / "evaluation", write, schema="groundwork.evaluation/1")
    model = make_model()
    with pytest.raises(IntegrityError) as caught:
        assemble(model=model, evaluation=tmp_path / "evaluation", provenance={}, into=tmp_path / "bundle")
    assert str(caught.value) == (
        f"{tmp_path}/evaluation: is the evaluation of model feed, not of {read_manifest(model).sha256}. "
        "Evaluate this model: `groundwork eval`."
    )
    assert not (tmp_path / "bundle").exists()


def test_what_is_put_is_fetched_and_putting_it_again_changes_nothing(store, make_bundle):
    bundle = make_bundle()
    bundle_id = store.put(bundle)
    assert store.put(bundle) == bundle_id == bundle_id_of(read_manifest(bundle))
    fetched = store.fetch(bundle_id)
    assert verify_directory(fetched) == verify_directory(bundle)
    assert store.fetch(bundle_id) == fetched


def test_a_damaged_folder_is_not_put(store, make_bundle):
    bundle = make_bundle()
    (bundle / "model" / "model.safetensors").write_text("Weights")
    with pytest.raises(IntegrityError, match=r"changed model/model\.safetensors"):
        store.put(bundle)


def test_only_bundles_are_put(store, make_model):
    with pytest.raises(
        IntegrityError, match=r"holds 'groundwork.segmenter/1', expected 'groundwork.bundle/1'"
    ):
        store.put(make_model())


def test_a_missing_bundle_is_unavailable(store):
    with pytest.raises(UnavailableError) as caught:
        store.fetch("0123456789abcdef")
    assert caught.value.message == "bundle 0123456789abcdef is missing."
    assert caught.value.hint == "Restore it from a copy, or choose another champion: `groundwork rollback`."


@pytest.mark.parametrize("name", ["", "../../../etc/abcd", "0123456789ABCDEF", "0123"])
def test_a_name_that_is_no_bundle_is_a_mistake_of_use(store, name):
    with pytest.raises(UsageError, match="expected 16 hex digits"):
        store.fetch(name)


def test_a_changed_bundle_is_refused_and_healed_by_putting_it_again(tmp_path, make_bundle):
    store, bundle = DirectoryBundles(tmp_path / "bundles"), make_bundle()
    bundle_id = store.put(bundle)
    kept = tmp_path / "bundles" / bundle_id
    (kept / "model" / "extra.py").write_text("evil = True")
    with pytest.raises(IntegrityError, match=r"not in the manifest: model/extra\.py"):
        store.fetch(bundle_id)
    shutil.rmtree(kept)
    shutil.copytree(make_bundle("other"), kept)
    with pytest.raises(IntegrityError, match=f"expected {bundle_id}"):
        store.fetch(bundle_id)
    assert store.put(bundle) == bundle_id
    assert verify_directory(store.fetch(bundle_id)) == verify_directory(bundle)


def test_a_changed_object_is_refused_and_healed_by_putting_it_again(bucket, tmp_path, make_bundle):
    bundle = make_bundle()
    bundle_id = S3Bundles(bucket=bucket, cache=tmp_path / "one").put(bundle)
    key = f"a/prefix/bundles/{bundle_id}/model/model.safetensors"
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"Weights")
    fresh = S3Bundles(bucket=bucket, cache=tmp_path / "two")
    with pytest.raises(IntegrityError, match=r"changed model/model\.safetensors"):
        fresh.fetch(bundle_id)
    assert not list((tmp_path / "two").iterdir())
    fresh.put(bundle)
    assert verify_directory(fresh.fetch(bundle_id)) == verify_directory(bundle)


def test_objects_without_their_manifest_are_no_bundle(bucket, tmp_path, make_bundle):
    store = S3Bundles(bucket=bucket, cache=tmp_path / "cache")
    bundle_id = store.put(make_bundle())
    bucket.client.delete_object(Bucket=bucket.name, Key=f"a/prefix/bundles/{bundle_id}/manifest.json")
    with pytest.raises(UnavailableError, match="is missing"):
        store.fetch(bundle_id)


def test_a_key_that_points_out_of_the_bundle_is_refused(bucket, tmp_path, make_bundle):
    store = S3Bundles(bucket=bucket, cache=tmp_path / "cache")
    bundle_id = store.put(make_bundle())
    assert bucket.create(f"bundles/{bundle_id}/../../escaped", b"x")
    with pytest.raises(IntegrityError, match=r"holds the key '\.\./\.\./escaped'"):
        store.fetch(bundle_id)
    assert not list(tmp_path.rglob("escaped"))


def test_a_damaged_copy_in_the_cache_is_fetched_again(bucket, tmp_path, make_bundle):
    store = S3Bundles(bucket=bucket, cache=tmp_path / "cache")
    bundle_id = store.put(make_bundle())
    (store.fetch(bundle_id) / "provenance.json").write_text("{}")
    assert verify_directory(store.fetch(bundle_id)).schema == "groundwork.bundle/1"


def test_a_put_killed_at_any_file_shows_nothing_and_the_next_completes_it(bucket, tmp_path, make_bundle):
    store, bundle = S3Bundles(bucket=bucket, cache=tmp_path / "cache"), make_bundle()
    bundle_id = bundle_id_of(read_manifest(bundle))
    files = len(read_manifest(bundle).files)
    for survivors in range(files):
        child = os.fork()
        if child == 0:
            upload, done = type(bucket).upload, []

            def deadly(self, path, key, *, sha256, upload=upload, done=done, limit=survivors):
                if len(done) == limit:
                    os.kill(os.getpid(), signal.SIGKILL)
                done.append(key)
                upload(self, path, key, sha256=sha256)

            type(bucket).upload = deadly
            store.put(bundle)
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(UnavailableError):
            store.fetch(bundle_id)
        for key in bucket.names(""):
            bucket.client.delete_object(Bucket=bucket.name, Key=bucket.prefix + key)
    assert store.fetch(store.put(bundle)).name == bundle_id


def test_the_settings_choose_the_store(tmp_path, monkeypatch):
    assert open_bundles(Settings.load(tmp_path)) == DirectoryBundles(tmp_path / ".groundwork" / "bundles")
    monkeypatch.setenv("GROUNDWORK_BUNDLES_URL", "s3://bucket/prefix")
    assert isinstance(open_bundles(Settings.load(tmp_path)), S3Bundles)
