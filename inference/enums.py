from __future__ import annotations

from django.db import models


class Engine(models.TextChoices):
    """Folders of `hive_agent/engines`."""

    LLAMA_CPP = "llama_cpp"
    ECHO = "echo"  # for load tests; only ever chosen by name


class Capability(models.TextChoices):
    TEXT_GEN = "text-gen"
    IMAGE_GEN = "image-gen"
    AUDIO_GEN = "audio-gen"
    VIDEO_GEN = "video-gen"
    EMBEDDING = "embedding"

    @property
    def model_type(self) -> str:
        """`type` of the model in `/v1/models`: text, image, audio, video, embedding."""
        return self.value.removesuffix("-gen")


class VersionStatus(models.TextChoices):
    DRAFT = "draft"  # compiled, never in force
    ACTIVE = "active"
    RETIRED = "retired"  # was in force
    REVERTED = "reverted"  # was in force until it was rolled back


class OnError(models.TextChoices):
    """What it means that a policy's `route_task` breaks."""

    REFUSE = "refuse"
    LEAST_LOADED = "least_loaded"  # as if it had no opinion


class DecisionOutcome(models.TextChoices):
    ROUTED = "routed"
    REJECTED = "rejected"  # by a script's reject()
    NO_WORKERS = "no_workers"
    POLICY_ERROR = "policy_error"


class LeftBecause(models.TextChoices):
    """Why a worker is not the one that serves a task."""

    MODEL = "model"  # it runs another one
    CAPABILITY = "capability"
    NOT_READY = "not_ready"
    SILENT = "silent"  # its hive is not heard
    DRAINING = "draining"
    FULL = "full"
    REGION = "region"
    GPU_CLASS = "gpu_class"  # the customer's plan is for others
    DEDICATED_TO = "dedicated_to"  # somebody else
    TRIED = "tried"  # its hive had the task before and did not run it
    OPERATOR_SCRIPT = "operator_script"
    TENANT_SCRIPT = "tenant_script"
    NOT_LEAST_LOADED = "not_least_loaded"


class HiveState(models.TextChoices):
    ONLINE = "online"
    SILENT = "silent"  # gets no task
    OFFLINE = "offline"
