"""Against moto, which speaks S3; what a bucket's own Object Lock refuses is not its to show."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from gdpr.log.copies import copy_log, second_place
from gdpr.log.note import make_signer
from gdpr.log.s3 import S3Store
from gdpr.log.store import StoreConflict
from gdpr.log.verify import verify_log
from tests.gdpr.log.logs import ORIGIN, make_entry, make_log

BUCKET = "rbee-audit"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        store = second_place(f"s3://{BUCKET}/some/where")
        assert isinstance(store, S3Store)
        yield store


def test_bucket_becomes_the_same_log(bucket: S3Store, tmp_path: Path) -> None:
    signer = make_signer(ORIGIN)
    writer = make_log(tmp_path, 300, signer=signer)
    assert copy_log(writer.store, bucket, [signer.key]) == 300
    writer.add(make_entry(number) for number in range(20))
    writer.publish(keep=True)
    assert copy_log(writer.store, bucket, [signer.key]) == 20

    report = verify_log(bucket, [signer.key])
    assert (report.problems, report.size) == ([], 320)
    assert bucket.widths("tile/entries/001") == [44, 64]  # nothing is removed
    assert bucket.names("checkpoints") == writer.store.names("checkpoints")
    versions = boto3.client("s3").list_object_versions(Bucket=BUCKET, Prefix="some/where/checkpoint")
    assert len([each for each in versions["Versions"] if each["Key"] == "some/where/checkpoint"]) == 2


def test_object_that_holds_something_else_is_left_as_it_is(bucket: S3Store) -> None:
    bucket.write("tile/0/000", b"one")
    bucket.write("tile/0/000", b"one")

    with pytest.raises(StoreConflict, match="s3://rbee-audit/some/where/tile/0/000 holds something else"):
        bucket.write("tile/0/000", b"other")
    assert bucket.read("tile/0/000") == b"one"
    assert bucket.read("tile/0/001") is None


def test_bucket_that_does_not_answer_is_an_error_that_passes(bucket: S3Store) -> None:
    away = second_place("s3://no-such-bucket/x")
    assert away is not None
    for ask in (lambda: away.read("checkpoint"), lambda: away.replace("a", b""), lambda: away.names("a")):
        with pytest.raises(OSError, match="s3://no-such-bucket/x/"):
            ask()
