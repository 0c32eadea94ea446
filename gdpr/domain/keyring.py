"""Which keys wrap data keys here: those of the place that the settings name. What another place wrapped before stays
readable while its keys are there, so a colony moves from a file to a KMS by rotating."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from gdpr.keys.base import KeyEncryption, KeyInfo, KeysUnavailable, Wrapped
from gdpr.keys.file import FileKeys, make_key, write_keys
from gdpr.keys.kms import KmsKeys
from gdpr.keys.root import RootKeys
from gdpr.models import SubjectKey
from gdpr.scope import colony_tx


class Keyring:
    def __init__(self, places: tuple[KeyEncryption, ...]) -> None:
        """The first one wraps."""
        self._places = {one.place: one for one in places}
        self.primary = places[0]

    def wrap(self, data_key: bytes, purpose: bytes) -> Wrapped:
        """Raises KeysUnavailable."""
        return self.primary.wrap(data_key, purpose)

    def unwrap(self, wrapped: Wrapped, purpose: bytes) -> bytes:
        """Raises KeysUnavailable, WrongKey."""
        return self.place_of(wrapped.key_id).unwrap(wrapped, purpose)

    def newest(self) -> str:
        return self.primary.newest()

    def list_keys(self) -> list[KeyInfo]:
        """Of all places, newest first; `is_newest` of the one that wraps."""
        return [
            info._replace(is_newest=info.is_newest and place is self.primary)
            for place in self._places.values()
            for info in place.list_keys()
        ]

    def place_of(self, key_id: str) -> KeyEncryption:
        """Raises KeysUnavailable."""
        found = self._places.get(key_id.partition(":")[0])
        if found is None:
            raise KeysUnavailable(f"{key_id} is of a place of keys that the settings do not name")
        return found


def keyring() -> Keyring:
    env = settings.RBEE
    return _keyring(env.key_file, env.kms_keys, env.kms_endpoint)


def make_first_keys() -> None:
    """The file of keys, where one is named, missing, and the one that wraps. Raises KeysUnavailable where something was wrapped by one of its
    keys: another one would hide that they are lost."""
    path = settings.RBEE.key_file
    if path is None or path.exists() or settings.RBEE.kms_keys:
        keyring().newest()  # says what is wrong with it while somebody looks
        return
    with colony_tx("is there a key in use"):
        used = SubjectKey.objects.filter(wrapped_by__startswith=f"{FileKeys.place}:").count()
    if used:
        raise KeysUnavailable(
            f"{path} is missing, and the details of {used} people cannot be read without it: put it back from its backup"
        )
    write_keys(path, [make_key()])


@lru_cache(maxsize=4)
def _keyring(key_file: Path | None, kms_keys: tuple[str, ...], kms_endpoint: str) -> Keyring:
    """A KMS goes before a file, which goes before the root secrets. Raises KeysUnavailable."""
    places: list[KeyEncryption] = []
    if kms_keys:
        places.append(KmsKeys(kms_keys, kms_endpoint))
    if key_file is not None:
        places.append(FileKeys(key_file))
    return Keyring((*places, RootKeys()))
