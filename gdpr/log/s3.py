"""A bucket as a second place, by boto3 (`pip install rbee[s3]`): credentials, region and endpoint as boto3 finds them.

Object Lock is the bucket's: with a default retention in COMPLIANCE mode nobody shortens it, and what is written over
stays as an older version. rbee never removes anything from a bucket.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from gdpr.log.store import StoreConflict

ABSENT: Final = {"NoSuchKey", "404", "NotFound"}


class S3Store:
    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @classmethod
    def at(cls, url: str) -> S3Store:
        """Raises ValueError without boto3."""
        try:
            import boto3
        except ImportError:
            raise ValueError(f"{url} needs boto3: install rbee with the extra `s3`") from None
        parts = urlsplit(url)
        return cls(boto3.client("s3"), parts.hostname or "", parts.path)

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def read(self, path: str) -> bytes | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + path)
            return bytes(answer["Body"].read())
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ABSENT:
                return None
            raise OSError(f"{self}{path}: {error}") from error
        except BotoCoreError as error:
            raise OSError(f"{self}{path}: {error}") from error

    def write(self, path: str, data: bytes) -> None:
        there = self.read(path)
        if there is None:
            self.replace(path, data)
        elif there != data:
            raise StoreConflict(f"{self}{path} holds something else than the log has for it")

    def replace(self, path: str, data: bytes) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:  # a bucket with Object Lock wants a checksum with what it is to keep
            self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + path, Body=data, ChecksumAlgorithm="SHA256"
            )
        except (ClientError, BotoCoreError) as error:
            raise OSError(f"{self}{path}: {error}") from error

    def widths(self, path: str) -> list[int]:
        names = self.names(f"{path}.p")
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def remove_partial(self, path: str, width: int) -> None:
        """Stays: a bucket that can lose objects is no second place."""

    def names(self, folder: str) -> list[str]:
        from botocore.exceptions import BotoCoreError, ClientError

        begin = f"{self._prefix}{folder}/"
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=begin, Delimiter="/"
            )
            return sorted(
                item["Key"].removeprefix(begin) for page in pages for item in page.get("Contents", [])
            )
        except (ClientError, BotoCoreError) as error:
            raise OSError(f"{self}{folder}: {error}") from error
